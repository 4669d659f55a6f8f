"""skerry audit: who did what, and whether the record of it is whole."""
