"""Reading what strangers wrote, an index or a package, in a process of its own: `python -m services.appstore.inspect`.

It takes seconds of a processor, holds Python's lock, and is as big as its input makes it; and whatever is wrong in it is the end
of that process, and not of the service.
"""
