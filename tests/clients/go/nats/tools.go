//go:build tools

// Package nats pins the tool that tests/clients/tools.py builds.
package nats

import _ "github.com/nats-io/natscli/nats"
