"""The audit log: what a record says, which requests have one, and the chain that shows what is missing. Pure (ADR 41).

event    one request as an Event of audit.k8s.io/v1
policy   the level of a request, by rules
shown    what of a URI and of bodies may be recorded
batch    records on their way: headers, hash, signature
marks    lines of a log about itself: start, gap, end
verify   whether what is stored is whole
query    which records somebody asked for
"""
