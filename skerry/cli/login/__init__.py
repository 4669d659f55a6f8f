"""`skerry login`: people sign in at an OpenID provider, and kubectl gets their ID token. Nothing is imported here: start-up time counts."""
