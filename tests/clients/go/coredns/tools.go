//go:build tools

// Package coredns pins the DNS server of clusters whose pods look for Services by name.
package coredns

import _ "github.com/coredns/coredns"
