"""Real Kubernetes control planes on this machine, for the demo and for the tests.

A member of the demo, and of the kube tests, is the real kube-apiserver with the real etcd, not a simulation, and no
image has to be pulled for it: the binaries are found, or built once from source (`binaries`, `build`); `cluster`
prepares a directory (certificates, tokens, kubeconfig) and says which processes make a cluster; `process` runs them,
or the caller's own supervisor does.
"""
