//go:build tools

// Package helm4 pins the command that tests/clients/tools.py builds.
package helm4

import _ "helm.sh/helm/v4/cmd/helm"
