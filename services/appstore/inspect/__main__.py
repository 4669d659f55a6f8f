"""`python -m services.appstore.inspect index|package|risks`: a question on stdin, answers on stdout, as `answers` has them."""

from __future__ import annotations

import sys

from services.appstore.inspect.answers import main

if __name__ == "__main__":
    sys.stdout.buffer.writelines(main(sys.argv[1], sys.stdin.buffer))
