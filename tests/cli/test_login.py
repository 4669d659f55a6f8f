"""login, logout, whoami and kubeconfig --login, as commands: what stands on stdout and stderr, and the exit code.

One server is the host and the provider; a certified provider and a real kubectl are in tests/proxy/test_login.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from skerry.cli import __main__ as command
from skerry.cli import kubeconfig
from skerry.cli.login.offered import user
from skerry.errors import Forbidden
from tests.cli.login.standin import Standin, running

PROVIDERS = "/apis/skerry.dev/v1alpha1/identityproviders"
CLUSTERS = "/apis/skerry.dev/v1alpha1/clusters"
WHO = "/apis/skerry.dev/v1alpha1/selfaccessreviews"
STATUS = {
    "user": "alice",
    "groups": ["org:shop", "Domain Admins"],
    "source": "IdentityProvider",
    "provider": "corp",
    "expires": "2030-01-01T00:00:00Z",
    "access": [],
    "incomplete": False,
}


class Ended(NamedTuple):
    """A command that ended."""

    code: int
    out: str
    err: str


class Shell:
    """Where commands are given: a home of one's own, and the server."""

    def __init__(self, server: Standin, home: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.server, self.home, self._capture = server, home, capture
        self.config = home / "config"

    def run(self, *words: str) -> Ended:
        self._capture.readouterr()
        code = command.main(list(words))
        return Ended(code, *self._capture.readouterr())

    def kubeconfig(self, *, token: str = "") -> None:
        """Write one for the host, of who logs in or has a token."""
        own = ("skerry", {"token": token}) if token else ("skerry-corp", user(self.server.parameters))
        ca = self.server.parameters.ca.encode()
        built = kubeconfig.build("skerry", ["m1"], server=self.server.issuer, ca=ca, user=own)
        self.config.write_text(kubeconfig.text(built))

    def provider(self, name: str = "corp", **login: Any) -> dict[str, Any]:
        """An IdentityProvider."""
        spec = {"issuer": self.server.issuer, "certificateAuthority": self.server.parameters.ca}
        return {"metadata": {"name": name}, "spec": {**spec, **({"login": login} if login else {})}}

    def signs_in(self, **claims: Any) -> None:
        """Have the provider sign somebody in on another device, at once."""
        started = {"device_code": "d", "user_code": "ABCD", "verification_uri": f"{self.server.issuer}/device"}
        self.server.answer("/device_authorization", {**started, "interval": 0.05})
        self.server.answer("/token", {"id_token": self.server.id_token(**claims), "refresh_token": "precious"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standin]:
    with running(tmp_path_factory.mktemp("pki")) as standin:
        yield standin


@pytest.fixture
def shell(
    server: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    for name, place in {
        "XDG_CACHE_HOME": "cache",
        "SKERRY_STATE": "state",
        "KUBECONFIG": "config",
        "HOME": ".",
    }.items():
        monkeypatch.setenv(name, str(tmp_path / place))
    monkeypatch.delenv("KUBERNETES_EXEC_INFO", raising=False)
    server.asked.clear()
    server.describe()
    server.answer(CLUSTERS, {"items": []})
    made = Shell(server, tmp_path, capsys)
    made.kubeconfig()
    return made


# login


def test_kubectl_gets_the_credential_alone_and_people_are_told_on_stderr(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_EXEC_INFO", '{"spec": {"interactive": true}}')
    shell.signs_in()
    arguments = shell.server.parameters._replace(flow="Device").arguments()
    first = shell.run(*arguments)
    credential = json.loads(first.out)
    assert (first.code, credential["kind"], credential["status"]["token"].count(".")) == (0, "ExecCredential", 2)
    assert first.err.startswith("Log in with any browser at")
    assert shell.run(*arguments) == Ended(0, first.out, "")
    assert not any(secret in first.err for secret in (credential["status"]["token"], "precious"))


def test_where_nobody_can_be_asked_kubectl_gets_one_line_and_nothing_happens(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_EXEC_INFO", '{"spec": {"interactive": false}}')
    ended = shell.run(*shell.server.parameters.arguments())
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert f"error: you are not logged in at {shell.server.issuer}: run" in ended.err
    assert shell.server.asked == []


def test_a_person_logs_in_with_the_kubeconfig_and_out_again(shell: Shell) -> None:
    shell.signs_in()
    ended = shell.run("login", "--device")
    assert (ended.code, ended.out) == (0, "")
    told = ended.err.splitlines()[-1]
    assert told.startswith(f"logged in at {shell.server.issuer} as alice@example.com for ")
    assert told.endswith(", then without a word")
    shell.server.answer("/revocation", b"")
    assert shell.run("logout") == Ended(0, "", "logged out\n")
    assert shell.server.forms("/revocation")[0]["token"] == "precious"
    assert shell.run(*shell.server.parameters.arguments()).code == 1


def test_all_logins_are_ended_together(shell: Shell) -> None:
    shell.signs_in()
    shell.server.answer("/revocation", b"")
    for scopes in ("a", "b"):
        words = ("--issuer", shell.server.issuer, "--client-id", "skerry", "--scopes", scopes, "--device")
        assert shell.run("login", *words, f"--ca-data={shell.server.parameters.arguments()[-1][10:]}").code == 0
    assert shell.run("logout", "--all") == Ended(0, "", "logged out: 2 logins\n")
    assert len(shell.server.forms("/revocation")) == 2
    assert shell.run("logout", "--all") == Ended(0, "", "logged out: 0 logins\n")


@pytest.mark.parametrize(
    ("said", "code"), [({"error": "access_denied"}, 1), ({"error": "expired_token"}, 5)], ids=["refused", "unanswered"]
)
def test_a_login_that_fails_says_so_by_its_exit_code(shell: Shell, said: dict[str, str], code: int) -> None:
    shell.signs_in()
    shell.server.answer("/token", (400, said))
    ended = shell.run("login", "--device")
    assert (ended.code, ended.out, ended.err.splitlines()[-1].startswith("error: ")) == (code, "", True)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["login", "--browser", "--device"], 2, "exclude each other"),
        (["login", "--timeout", "soon"], 2, "no duration|not a duration"),
        (["login", "--timeout", "0"], 2, "at most 1h"),
        (["login", "--timeout", "99999999d"], 2, "at most 1h"),
        (["login", "--exec"], 2, "--issuer is missing"),
        (["login", "--exec", "--issuer=https://a", "--client-id=b", "--flow=Guess"], 2, "--flow 'Guess'"),
        (["login", "--issuer=http://idp.example.com", "--client-id=b"], 1, "no https:// address"),
        (["login", "--context", "none"], 1, "context none in .* does not log in: .* there is: skerry, skerry-m1"),
        (["logout", "--all", "--context", "skerry"], 2, "exclude each other"),
        (["whoami", "-o", "name"], 2, "-o name: use json or yaml"),
        (["kubeconfig", "--provider", "corp"], 2, "--provider needs --login"),
    ],
    ids=range(11),
)
def test_what_cannot_be_done_is_one_sentence(shell: Shell, words: list[str], code: int, told: str) -> None:
    ended = shell.run(*words)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert re.search(told, ended.err)


def test_without_a_login_in_the_kubeconfig_it_says_whom_to_ask(shell: Shell) -> None:
    shell.kubeconfig(token="skerry_t")
    ended = shell.run("login")
    assert (ended.code, "skerry kubeconfig --login" in ended.err) == (1, True)


def test_the_only_login_of_a_kubeconfig_needs_no_name(shell: Shell) -> None:
    shell.config.write_text(json.dumps({**json.loads(shell.config.read_text()), "current-context": ""}))
    shell.signs_in()
    assert shell.run("login", "--device").code == 0


# whoami


def row(cluster: str, namespace: str, role: str, source: tuple[str, str], **more: str) -> dict[str, Any]:
    return {
        "cluster": cluster,
        "namespace": namespace,
        "role": role,
        "source": dict(zip(("kind", "name"), source, strict=True)),
        **more,
    }


def test_whoami_tells_who_by_what_until_when_and_what(shell: Shell) -> None:
    shell.signs_in()
    shell.run("login", "--device")
    access = [
        row("*", "", "view", ("Group", "skerry:view")),
        row("m1", "shop", "edit", ("AccessGrant", "g"), expires="2029-01-01T00:00:00Z"),
        row("m2", "", "", ("AccessGrant", "dba"), group="dba"),
    ]
    shell.server.answer(WHO, (201, {"status": {**STATUS, "access": access}}))
    ended = shell.run("whoami")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "user    alice",
        "groups  org:shop, Domain Admins",
        "from    provider corp",
        "until   2030-01-01T00:00:00Z",
        "",
        "CLUSTER   NAMESPACE   ROLE        FROM                UNTIL",
        "<all>     <all>       view        Group skerry:view   <none>",
        "m1        shop        edit        AccessGrant g       2029-01-01T00:00:00Z",
        "m2        <all>       group dba   AccessGrant dba     <none>",
    ]
    document = json.loads(shell.run("whoami", "-o", "json").out)
    assert {key: document[key] for key in ("user", "source", "provider", "expires")} == {
        "user": "alice", "source": "IdentityProvider", "provider": "corp", "expires": STATUS["expires"],
    }  # fmt: skip
    assert document["access"][1] == {
        "cluster": "m1", "namespace": "shop", "role": "edit", "from": {"kind": "AccessGrant", "name": "g"},
        "until": "2029-01-01T00:00:00Z",
    }  # fmt: skip
    assert (document["access"][0]["until"], document["access"][2]["group"]) == (None, "dba")
    assert yaml.safe_load(shell.run("whoami", "-o", "yaml").out) == document


def test_who_has_nothing_is_told_whom_to_ask(shell: Shell) -> None:
    shell.kubeconfig(token="skerry_t")
    status = {**STATUS, "groups": [], "source": "Credential", "provider": None, "incomplete": True}
    shell.server.answer(WHO, (201, {"status": status}))
    ended = shell.run("whoami", "--context", "skerry")
    assert ended.code == 0
    assert ended.out.splitlines()[1:3] == ["groups  none", "from    a token of the host"]
    assert re.search(r"Nothing is granted to you yet: \S*skerry request create ROLE", ended.err)
    assert "There is more" in ended.err


# kubeconfig --login


def made(shell: Shell, *words: str) -> Any:
    shell.kubeconfig(token="skerry_precious")
    ended = shell.run("kubeconfig", "--login", "--context", "skerry", *words)
    assert (ended.code, "precious" in ended.out) == (0, False), ended.err
    return json.loads(ended.out) if ended.out else None


def test_a_kubeconfig_to_be_handed_out_has_parameters_and_no_secret(shell: Shell) -> None:
    shell.server.answer(
        PROVIDERS,
        {
            "items": [
                shell.provider(clientID="cli", scopes=["email", "offline_access"], flow="Device"),
                shell.provider("other"),
            ]
        },
    )
    shell.server.answer(
        CLUSTERS, {"items": [{"metadata": {"name": "m1"}, "spec": {"role": "member", "connection": {"mode": "agent"}}}]}
    )
    config = made(shell)
    (person,) = config["users"]
    plugin = person["user"]["exec"]
    assert (person["name"], plugin["command"], plugin["interactiveMode"]) == ("skerry-corp", "skerry", "IfAvailable")
    assert plugin["args"][:6] == [
        "login", "--exec", f"--issuer={shell.server.issuer}", "--client-id=cli", "--scopes=openid email offline_access", "--flow=Device",
    ]  # fmt: skip
    assert [each["context"] for each in config["contexts"]] == [
        {"cluster": "skerry", "user": "skerry-corp"}, {"cluster": "skerry-m1", "user": "skerry-corp"},
    ]  # fmt: skip


def test_merging_it_replaces_no_token_and_names_a_program_that_is_there(shell: Shell) -> None:
    shell.server.answer(PROVIDERS, {"items": [shell.provider(clientID="cli")]})
    assert made(shell, "--merge") is None
    config = yaml.safe_load(shell.config.read_text())
    users = {each["name"]: each["user"] for each in config["users"]}
    assert users["skerry"] == {"token": "skerry_precious"}
    program = users["skerry-corp"]["exec"]["command"]
    assert program == "skerry" or Path(program).is_absolute()
    assert {each["context"]["user"] for each in config["contexts"] if each["name"] == "skerry"} == {"skerry-corp"}


def test_tokens_and_logins_are_merged_in_turn_and_none_is_lost(shell: Shell) -> None:
    shell.server.answer(PROVIDERS, {"items": [shell.provider(clientID="cli")]})
    admin = shell.home / "admin"
    shell.kubeconfig(token="skerry_precious")
    shell.config.rename(admin)
    for words in (["--login"], [], ["--login"], []):
        ended = shell.run("kubeconfig", "--merge", "--kubeconfig", str(admin), *words)
        assert ended.code == 0, ended.err
    config = yaml.safe_load(shell.config.read_text())
    users = {each["name"]: each["user"] for each in config["users"]}
    assert (users["skerry"], set(users["skerry-corp"])) == ({"token": "skerry_precious"}, {"exec"})
    users["skerry"]["token"] = "skerry_another"
    shell.config.write_text(
        json.dumps({**config, "users": [{"name": name, "user": each} for name, each in users.items()]})
    )
    assert shell.run("kubeconfig", "--merge", "--kubeconfig", str(admin), "--login").code == 0
    refused = shell.run("kubeconfig", "--merge", "--kubeconfig", str(admin))
    assert (refused.code, "what they hold may be nowhere else" in refused.err) == (1, True)


@pytest.mark.parametrize(
    ("names", "chosen", "told"),
    [
        ([], "", "no identity provider has spec.login"),
        (["a", "b"], "", "with --provider at which of these to log in: a, b"),
        (["a"], "c", "no identity provider 'c' has spec.login; there is: a"),
    ],
)
def test_which_provider_is_said_or_the_only_one(shell: Shell, names: list[str], chosen: str, told: str) -> None:
    shell.kubeconfig(token="skerry_t")
    shell.server.answer(PROVIDERS, {"items": [shell.provider(name, clientID="c") for name in names]})
    words = ["--provider", chosen] if chosen else []
    ended = shell.run("kubeconfig", "--login", "--context", "skerry", *words)
    assert (ended.code, told in ended.err) == (1, True)


def test_who_may_not_read_providers_is_told_whom_to_ask(shell: Shell) -> None:
    shell.kubeconfig(token="skerry_t")
    shell.server.answer(PROVIDERS, (403, Forbidden("no").body()))
    ended = shell.run("kubeconfig", "--login", "--context", "skerry")
    assert (ended.code, "have an administrator of the host run this" in ended.err) == (1, True)


def test_who_logs_in_gets_a_kubeconfig_that_logs_in(shell: Shell) -> None:
    shell.signs_in()
    shell.run("login", "--device")
    config = json.loads(shell.run("kubeconfig").out)
    (person,) = config["users"]
    assert person == {"name": "skerry-corp", "user": user(shell.server.parameters)}
