//go:build tools

// Package etcd pins the server that tests/clients/tools.py builds.
package etcd

import _ "go.etcd.io/etcd/server/v3"
