// A validating webhook for tests, with the standard library alone.
module skerry.dev/clients/webhook

go 1.26.0
