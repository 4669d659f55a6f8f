"""The App Store: repositories of charts, the one pool of templates, their review, and what is installed from them."""
