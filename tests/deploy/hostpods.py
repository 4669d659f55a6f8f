"""A release of the host's chart on a real API server without a node: its pods are processes of this machine, with the environment,
files, ServiceAccounts and programs of the containers. Ports and directories are others, since pods have a network of their own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skerry.identity.natsconf import server_binary
from tests.deploy.agentchart import NAMESPACE, helm
from tests.deploy.hostchart import CHART, RELEASE
from tests.deploy.test_agent_install import health
from tests.e2e.federation import SKERRY, eventually, free_port
from tests.kube.member import Member

PROGRAMS = {"/opt/skerry/bin/python": sys.executable, "/opt/skerry/bin/helm": ""}


class HostPods:
    """One release and what runs of it."""

    def __init__(self, binary: Path, member: Member, directory: Path) -> None:
        self.binary, self.member, self.directory = binary, member, directory
        self.bus, self.door, self.monitor = (free_port() for _ in range(3))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.values: dict[str, Any] = {
            "addresses": [f"127.0.0.1:{self.door}"],
            "bus": {"addresses": [f"127.0.0.1:{self.bus}"]},
            "tower": {"lingerSeconds": 0, "graceSeconds": 5},
        }

    def helm(self, *arguments: str) -> str:
        """Run helm against the cluster; a failure fails the test with what it said."""
        done = helm(self.binary, *arguments, "-n", NAMESPACE, "--kubeconfig", str(self.member.kubeconfig))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def release(self, verb: str, *options: str, **values: Any) -> str:
        """Install or upgrade with these values besides the addresses."""
        file = self.directory / "values.json"
        file.write_text(json.dumps({**self.values, **values}))
        return self.helm(verb, RELEASE, str(CHART), "-f", str(file), *options)

    def get(self, *what: str) -> dict[str, Any]:
        """Objects of the host's namespace."""
        found: dict[str, Any] = json.loads(self.member.kubectl("get", *what, "-n", NAMESPACE, "-o", "json"))
        return found

    def secret(self, name: str) -> dict[str, bytes]:
        """The files of a Secret."""
        return {key: base64.b64decode(value) for key, value in (self.get("secret", name).get("data") or {}).items()}

    def pod(self, kind: str, workload: str) -> dict[str, Any]:
        """spec of its pods."""
        spec: dict[str, Any] = self.get(kind, workload)["spec"]["template"]["spec"]
        return spec

    def mounted(self, pod: Mapping[str, Any], name: str) -> Path:
        """The volumes of a pod below a directory; what the bootstrap laid stays."""
        root = self.directory / name
        sources = {each["name"]: each for each in (*pod["volumes"], {"name": "data", "emptyDir": {}})}
        for mount in [
            mount for each in (*pod.get("initContainers", ()), *pod["containers"]) for mount in each["volumeMounts"]
        ]:
            path = root / mount["mountPath"].lstrip("/")
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            secret = sources[mount["name"]].get("secret")
            if secret is None or (secret.get("optional") and not self._has(secret["secretName"])):
                continue
            files = self.secret(secret["secretName"])
            wanted = {each["key"]: each["path"] for each in secret.get("items", ())} or {key: key for key in files}
            for key, file in wanted.items():
                (path / file).write_bytes(files[key])
        return root

    def _has(self, secret: str) -> bool:
        return bool(self.get("secret", "--field-selector", f"metadata.name={secret}")["items"])

    def account(self, name: str) -> Path:
        """A kubeconfig of a ServiceAccount: no other rights than its own."""
        token = self.member.kubectl("create", "token", name, "-n", NAMESPACE).decode().strip()
        document = json.loads(self.member.kubectl("config", "view", "--raw", "-o", "json"))
        for user in document["users"]:
            user["user"] = {"token": token}
        path = self.directory / f"{name}.kubeconfig"
        path.write_text(json.dumps(document))
        return path

    def environment(self, pod: Mapping[str, Any], root: Path) -> dict[str, str]:
        """Of the first container, where this machine has its files and ports."""
        variables = {key: value for key, value in os.environ.items() if not key.startswith("SKERRY_")}
        for each in pod["containers"][0]["env"]:
            reference = each.get("valueFrom", {}).get("secretKeyRef")
            value = self.secret(reference["name"])[reference["key"]].decode() if reference else each.get("value", "")
            variables[each["name"]] = self._here(value, root)
        variables["SKERRY_BUS_SERVERS"] = f"tls://127.0.0.1:{self.bus}"
        variables["SKERRY_OPS_LISTEN"] = f"127.0.0.1:{free_port()}"
        return variables

    def _here(self, text: str, root: Path) -> str:
        for path in ("/run/", "/dev/termination-log"):
            text = text.replace(path, f"{root}{path}") if text.startswith(path) else text
        return text.replace(f"https://skerry.{NAMESPACE}.svc", f"https://127.0.0.1:{self.door}")

    def bootstrap(self, account: str = "skerry-controller-manager") -> subprocess.CompletedProcess[str]:
        """The init container of the controller-manager, with its account's rights alone."""
        pod = self.pod("deployment", "skerry-controller-manager")
        root = self.directory / "controller-manager"
        words = [self._here(each, root) for each in pod["initContainers"][0]["args"]]
        words = [f"tls://127.0.0.1:{self.bus}" if each.startswith("tls://skerry-bus") else each for each in words]
        command = [SKERRY, *words, "--kubeconfig", str(self.account(account))]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def start_bus(self) -> None:
        """The StatefulSet's pod: configuration by its init container, then the server."""
        pod = self.pod("statefulset", "skerry-nats")
        root = self.mounted(pod, "nats")
        words = [
            each.replace("/run/skerry/own", f"{root}/run/skerry/own").replace("=/data", f"={root}/data")
            .replace("/etc/nats/", f"{root}/etc/nats/").replace("$(POD_NAME)", "skerry-nats-0")
            for each in pod["initContainers"][0]["args"]
        ]  # fmt: skip
        done = subprocess.run([SKERRY, *words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        conf = root / "etc" / "nats" / "nats.conf"
        text = (
            conf.read_text()
            .replace("port: 4222", f"port: {self.bus}")
            .replace("http_port: 8222", f"http_port: {self.monitor}")
        )
        conf.write_text(text)
        self._start("nats", [str(server_binary()), "-c", str(conf)], dict(os.environ))

    def start_own_bus(self, configuration: str) -> None:
        """A server of the owner's, with what `skerry nats-config` printed."""
        file = self.directory / "own.conf"
        file.write_text(configuration)
        self._start("nats", [str(server_binary()), "-c", str(file)], dict(os.environ))

    def start(self, workload: str, **more: str) -> str:
        """A Deployment's pod; the URL of its probes."""
        pod = self.pod("deployment", workload)
        name = workload.removeprefix("skerry-")
        root = self.mounted(pod, name)
        (root / "dev").mkdir(exist_ok=True)
        variables = {**self.environment(pod, root), **more}
        if variables.get("SKERRY_LISTEN"):
            variables["SKERRY_LISTEN"] = f"127.0.0.1:{self.door}"
        variables.pop("SKERRY_HELM", None)
        if variables.get("SKERRY_TOKEN_REVIEW") == "1":
            variables["SKERRY_TOKEN_REVIEW_KUBECONFIG"] = str(self.account(workload))
        if variables.get("SKERRY_MANAGE_HOST") == "1" or (
            workload == "skerry-tower" and pod["automountServiceAccountToken"]
        ):
            variables["SKERRY_HOST_KUBECONFIG"] = str(self.account(workload))
        if renewal := variables.get("SKERRY_RENEW"):
            words = [PROGRAMS.get(each, self._here(each, root)) for each in renewal.split(",")]
            variables["SKERRY_RENEW"] = ",".join([*words, "--kubeconfig", str(self.account(workload))])
        command = [PROGRAMS.get(each, each) for each in pod["containers"][0]["command"]]
        self._start(workload, command, variables)
        return f"http://{variables['SKERRY_OPS_LISTEN']}"

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def wait_ready(self, *urls: str) -> None:
        """Until they are; else what they say and logged."""
        for url in urls:
            try:
                eventually(lambda url=url: health(url)[0] == 200, "it is ready", 60)  # type: ignore[misc]
            except AssertionError:
                logs = "".join(f"--- {name}\n{self.said(name)[-3000:]}" for name in self.processes)
                raise AssertionError(f"not ready: {health(url)}\n{logs}") from None

    def said(self, name: str) -> str:
        """What a process logged so far."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def close(self) -> None:
        """End what runs, the bus last."""
        for process in reversed(list(self.processes.values())):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self.processes.clear()

    def skerry(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command line of somebody who has the kubeconfig of the cluster."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.member.kubeconfig),
            "SKERRY_STATE": str(self.directory / "none"),
        }
        return subprocess.run(
            [SKERRY, *words], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def wait_gone(self, kind: str) -> None:
        """Until no object of the host is left of this kind."""
        eventually(
            lambda: not self.get(kind, "-l", "skerry.dev/installed=host")["items"], f"no {kind} of the host is left"
        )
