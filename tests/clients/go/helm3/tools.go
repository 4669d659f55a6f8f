//go:build tools

// Package helm3 pins the command that tests/clients/tools.py builds.
package helm3

import _ "helm.sh/helm/v3/cmd/helm"
