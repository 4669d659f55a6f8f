//go:build tools

// Package kubescore pins the tool that tests/clients/tools.py builds.
package kubescore

import _ "github.com/zegl/kube-score/cmd/kube-score"
