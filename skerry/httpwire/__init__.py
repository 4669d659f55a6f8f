"""HTTP/1.1 without I/O: heads, bodies, header hygiene, request targets, and what a request means to Kubernetes.

Bytes in, values out; no await, clock, randomness or logging (docs: the data plane). llhttp, through httptools, cuts a
head into its parts; one regular expression that lists what is *allowed* decides first, so that nothing depends on how
lenient a tokenizer is. Header names are lower case everywhere inside Skerry: guards cannot be dodged by spelling.
"""
