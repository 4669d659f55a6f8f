"""HTTP/1.1 over asyncio: a server and a client that relay raw bytes after 101, for uvloop.

Written here and not taken from a library because kubectl needs `Upgrade: SPDY/3.1` and the raw socket behind it
(the data plane's rule 1). The rules are in `skerry.httpwire`; these modules move bytes and own sockets.
"""
