"""Every place that keys come from: that they arrive, end, are replaced, and fail in clear words.

Where keys arrive, weir-local hands them out and checks each signature made with them. The stub stands
for what an honest service does not do: it takes keys back, looks into requests, and speaks nonsense.
"""

import base64
import json
import os
import stat
import subprocess
import sys
import tempfile

import pytest

from credential_stub import CredentialStub, plain, sts_error
from local import LocalAws
from processes import wait_for
from stub import hang_up
from weir import CONFIG, FAILED, OK, Weir, lines_of, pipeline, wait_bytes

ROLE = "arn:aws:iam::123456789012:role/reader"
OTHER = "arn:aws:iam::210987654321:role/far"
COUNT = 200


@pytest.fixture
def keys():
    with CredentialStub() as server:
        server.create_stream("s", 2)
        for i in range(COUNT):
            server.put("s", b"record-%06d" % i, shard=i % 2)
        yield server


WANT = [b"record-%06d" % i for i in range(COUNT)]


def manifest(keys, credentials=None, endpoint=None, **more):
    source = {"type": "kinesis", "stream": "s", "region": "us-east-1",
              "endpoint": endpoint or keys.endpoint, "start": "trim_horizon", "interval": "100ms",
              "retry": {"base": "20ms", "max": "200ms"}, **more}
    if credentials:
        source["credentials"] = credentials
    return pipeline({"in": source}, {"out": {"type": "file", "path": "out/lines.txt", "input": "in"}},
                    settings={"start_timeout": "10s"})


def start(weir, keys, credentials=None, env=None, **more):
    return weir.start("run", weir.manifest(manifest(keys, credentials, **more)),
                      env={"WEIR_LOG": "debug", "AWS_ENDPOINT_URL_STS": keys.endpoint, **(env or {})})


def finish(weir, keys, running, want=None):
    want = WANT if want is None else want
    wait_bytes(weir.folder / "out", sum(len(x) + 1 for x in want), 60, running)
    result = running.stop()
    assert result.status == OK, result
    assert sorted(lines_of(weir.folder / "out")) == want
    for secret in keys.secrets():
        assert secret not in result.text, "a secret was printed"
    return result


def user(keys, name="AKIAUSER"):
    """Environment with the keys of a person."""
    _, secret, _ = keys.add_keys(name, key_id=name, token=False)
    return {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": secret}


def owners(keys):
    """Whose keys the calls of Kinesis bore."""
    return {keys.keys[key][2] for key in keys.users}


def files(weir, config="", credentials=""):
    (weir.folder / "config").write_text(config)
    (weir.folder / "credentials").write_text(credentials)
    return {"AWS_CONFIG_FILE": str(weir.folder / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(weir.folder / "credentials")}


def program(weir, text, name="keys-program"):
    path = weir.folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# ---- they arrive ----

USER = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local-secret"}
EXTERNAL_ID = "a:b/c=d+e,f@g-h"


class Aws(LocalAws):
    """weir-local with authentication on, and a stream whose records are to arrive once each."""

    def __init__(self, folder, *options):
        super().__init__(folder, "--auth", "verify", "--stream", "s:2", *options)
        self.want, self.kinesis = [], self.client("kinesis")
        self.feed(WANT)

    def feed(self, records):
        hashes = "0", str(2**127)
        for at in range(0, len(records), 500):
            answer = self.kinesis.put_records(StreamName="s", Records=[
                {"Data": data, "PartitionKey": "k", "ExplicitHashKey": hashes[i % 2]}
                for i, data in enumerate(records[at:at + 500])])
            assert answer["FailedRecordCount"] == 0
        self.want = sorted(self.want + list(records))

    def operations(self, service):
        """Operation -> (answered, refused)."""
        found = self.admin("GET", "stats")["operations"]
        return {name.split(".")[1]: (x["requests"] - x["errors"], x["errors"]) for name, x in found.items()
                if name.startswith(service + ".")}

    def secrets(self):
        # How each session token begins that is issued here.
        return ["local-secret", "IQoJb3JpZ2luX2VjE", *getattr(self, "known", [])]

    def imds(self):
        return {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.endpoint}


@pytest.fixture
def aws(tmp_path):
    with Aws(tmp_path) as endpoint:
        yield endpoint


def jwt(**claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256'})}.{part({'sub': 'system:serviceaccount:a:b', **claims})}.c2lnbmVk"


def a_role(weir, aws):
    aws.admin("POST", "sts", {"roles": [ROLE], "external_ids": {ROLE: EXTERNAL_ID}})
    return {"provider": "assume_role", "role_arn": ROLE, "external_id": EXTERNAL_ID, "role_session_name": "me",
            "duration": "30m"}, USER


def a_role_through_a_role(weir, aws):
    return {"provider": "assume_role", "role_arn": OTHER, "source": {
        "provider": "assume_role", "role_arn": ROLE, "source": {"provider": "env"}}}, USER


def profiles_that_lead_to_a_role(weir, aws):
    aws.admin("POST", "sts", {"external_ids": {OTHER: "x-1"}})
    return {"profile": "job"}, files(
        weir, f"[profile job]\nrole_arn = {OTHER}\nsource_profile = middle\nexternal_id = x-1\n"
              f"[profile middle]\nrole_arn = {ROLE}\nsource_profile = person\n",
        "[person]\naws_access_key_id = local\naws_secret_access_key = local-secret\n")


def web_identity(weir, aws):
    (weir.folder / "token").write_text(jwt(exp=4e9) + "\n")
    return None, {"AWS_WEB_IDENTITY_TOKEN_FILE": str(weir.folder / "token"), "AWS_ROLE_ARN": ROLE,
                  "AWS_ROLE_SESSION_NAME": "pod"}  # found by `auto`


def container(weir, aws):
    aws.admin("POST", "metadata", {"container_token": "Basic abc"})
    return {"provider": "container"}, {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{aws.endpoint}/v2/credentials/task-1",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Basic abc"}


def pod(weir, aws):
    aws.admin("POST", "metadata", {"pod_token": jwt(pod="me")})
    (weir.folder / "auth").write_text(jwt(pod="me") + "\n")
    return None, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{aws.endpoint}/v1/credentials",
                  "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(weir.folder / "auth")}


def instance(weir, aws):
    return None, aws.imds()


def a_role_from_the_instance(weir, aws):
    return {"profile": "job"}, {**files(
        weir, f"[profile job]\nrole_arn = {ROLE}\ncredential_source = Ec2InstanceMetadata\n"), **aws.imds()}


def a_program(weir, aws):
    keys = aws.client("sts").get_session_token()["Credentials"]
    aws.known = [keys["SecretAccessKey"], keys["SessionToken"]]
    path = program(weir, "import json, sys\nassert sys.argv[1:] == ['two words', '$HOME']\n" + "print(json.dumps("
                   + repr({"Version": 1, "AccessKeyId": keys["AccessKeyId"], **dict(zip(
                       ("SecretAccessKey", "SessionToken"), aws.known)),
                           "Expiration": keys["Expiration"].isoformat()}) + "))\n")
    return {"provider": "process", "command": f"{path} 'two words' $HOME"}, {}  # no shell looks at it


PLACES = {  # and what must have been asked, once each
    a_role: {"sts": ["AssumeRole"]},
    a_role_through_a_role: {"sts": ["AssumeRole", "AssumeRole"]},
    profiles_that_lead_to_a_role: {"sts": ["AssumeRole", "AssumeRole"]},
    web_identity: {"sts": ["AssumeRoleWithWebIdentity"]},
    container: {"metadata": ["ContainerCredentials"]},
    pod: {"metadata": ["PodCredentials"]},
    instance: {"metadata": ["Token", "Role", "RoleCredentials"]},
    a_role_from_the_instance: {"metadata": ["Token", "Role", "RoleCredentials"], "sts": ["AssumeRole"]},
    a_program: {"sts": ["GetSessionToken"]},
}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_keys_from(weir, aws, place):
    """Nobody's keys but those of the place are known, so who reads has them."""
    credentials, env = place(weir, aws)
    finish(weir, aws, start(weir, aws, credentials, env), aws.want)
    for service in "sts", "metadata":
        asked = PLACES[place].get(service, [])
        assert aws.operations(service) == {name: (asked.count(name), 0) for name in asked}
    assert all(refused == 0 for _, refused in aws.operations("kinesis").values())


def weir_driver(folder):
    folder.mkdir()
    return Weir(folder)


def test_the_fixed_addresses(weir, tmp_path):
    """AWS's own addresses are those of a network of its own, in which this test runs once more."""
    setup = "ip link set lo up && ip address add 169.254.170.2/32 dev lo && " \
            "ip address add 169.254.169.254/32 dev lo"
    if os.environ.get("WEIR_TEST_NETWORK") != "own":
        inside = ["unshare", "-rn", "sh", "-c", f"{setup} && exec \"$@\"", "sh"]
        try:
            subprocess.run([*inside, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this system gives no network namespaces")
        with tempfile.TemporaryDirectory(prefix="weir-net-") as folder:  # a short path, for the control socket
            again = subprocess.run([*inside, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                                    "--basetemp", f"{folder}/t", f"{__file__}::test_the_fixed_addresses"],
                                   env={**os.environ, "WEIR_TEST_NETWORK": "own"}, capture_output=True, text=True,
                                   stdin=subprocess.DEVNULL)
        assert again.returncode == 0 and "1 passed" in again.stdout, again.stdout[-8000:]
        return
    with Aws(tmp_path, "--listen", "0.0.0.0:80") as aws:
        aws.admin("POST", "metadata", {"container_token": "relative"})
        running = start(weir, aws, None, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/0-1",
                                          "AWS_CONTAINER_AUTHORIZATION_TOKEN": "relative"})
        finish(weir, aws, running, aws.want)
        again = weir_driver(weir.folder / "i")
        finish(again, aws, start(again, aws, {"provider": "imds"}, {"AWS_EC2_METADATA_DISABLED": "false"}), aws.want)
        assert aws.operations("metadata") == {name: (1, 0) for name in (
            "ContainerCredentials", "Token", "Role", "RoleCredentials")}


def test_a_container_is_never_asked_through_a_proxy(weir, keys):
    env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{keys.endpoint}/container",
           "http_proxy": "http://127.0.0.1:9", "no_proxy": "localhost"}
    finish(weir, keys, start(weir, keys, None, env, endpoint=f"http://localhost:{keys.port}"))
    assert owners(keys) == {"container"}


# ---- they end ----

def issued(aws):
    return aws.admin("POST", "sts", {})["issued"]


@pytest.mark.parametrize("place", [a_role, instance], ids=lambda place: place.__name__)
def test_keys_that_live_seconds(weir, aws, place):
    """They are replaced in time and again, while records come; nothing is lost, nothing comes twice."""
    credentials, env = place(weir, aws)
    aws.admin("POST", "sts", {"duration_s": 3})
    before = issued(aws)
    running = start(weir, aws, credentials, env)
    rounds = 0

    def replaced_twice():
        nonlocal rounds
        aws.feed([b"later-%d-%04d" % (rounds, i) for i in range(20)])
        rounds += 1
        return issued(aws) - before >= 3 or not running.alive()

    wait_for(replaced_twice, 60, "the keys were replaced twice", interval=0.2)
    finish(weir, aws, running, aws.want)


@pytest.mark.parametrize("place", [a_role_through_a_role, instance, pod], ids=lambda place: place.__name__)
def test_keys_that_the_service_calls_expired(weir, aws, place):
    """The service's clock runs ahead: it refuses keys that by this machine's clock are good for hours."""
    credentials, env = place(weir, aws)
    running = start(weir, aws, credentials, env)
    for round_ in range(2):
        wait_bytes(weir.folder / "out", sum(len(x) + 1 for x in aws.want), 60, running)
        before = issued(aws)
        aws.advance(6 * 3600 + 1)
        aws.feed([b"later-%d-%04d" % (round_, i) for i in range(50)])
        wait_for(lambda: issued(aws) > before or not running.alive(), 60, "there are new keys")
    result = finish(weir, aws, running, aws.want)
    assert aws.operations("kinesis")["GetRecords"][1] >= 1, "no call was refused"
    assert "ERROR" not in result.err, result


def test_keys_that_end_in_mid_stream(weir, keys):
    running = start(weir, keys, {"provider": "assume_role", "role_arn": ROLE}, user(keys))
    wait_bytes(weir.folder / "out", 1, 60, running)
    want = list(WANT)
    for round_ in range(3):
        used = set(keys.users)
        keys.revoked |= {key for key in keys.keys if keys.keys[key][2] == ROLE}
        extra = [b"later-%d-%04d" % (round_, i) for i in range(50)]
        for i, data in enumerate(extra):
            keys.put("s", data, shard=i % 2)
        want += extra
        wait_for(lambda: set(keys.users) - used or not running.alive(), 30, "new keys are used")
    finish(weir, keys, running, sorted(want))


def test_new_keys_in_a_file(weir, keys):
    one, two = keys.add_keys("first"), keys.add_keys("second")
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n"
    env = files(weir, credentials=text.format(*one))
    running = start(weir, keys, None, env)
    wait_bytes(weir.folder / "out", 1, 60, running)
    files(weir, credentials=text.format(*two))
    keys.revoked.add(one[0])
    wait_for(lambda: keys.users[two[0]], 30, "the new keys are used")
    finish(weir, keys, running)


def test_a_refresh_that_fails_does_not_disturb(weir, keys):
    """Ahead of the end, trouble at STS is told, and the old keys go on."""
    keys.life_s = 9
    running = start(weir, keys, {"provider": "assume_role", "role_arn": ROLE}, user(keys))
    wait_bytes(weir.folder / "out", 1, 60, running)
    keys.answer_next("sts", *[sts_error("AccessDenied", "not now", 403)] * 1)
    wait_for(lambda: len(keys.users) >= 2 or not running.alive(), 60, "keys changed in the end")
    result = finish(weir, keys, running)
    assert "going on with the old ones" in result.err and "not now" in result.err


# ---- the clock ----

@pytest.mark.parametrize("ahead", [3600, -7200])
@pytest.mark.parametrize("place", [None, a_role, instance], ids=lambda place: place.__name__ if place else "user")
def test_a_wrong_clock_is_corrected(weir, aws, ahead, place):
    credentials, env = place(weir, aws) if place else (None, USER)
    aws.skew(ahead)
    result = finish(weir, aws, start(weir, aws, credentials, env), aws.want)
    if not place:
        assert "clock differs" in result.err


# ---- they fail ----

def fails(weir, keys, credentials, env, *said, status=(FAILED, CONFIG)):
    running = start(weir, keys, credentials, env, retry={"attempts": 2, "base": "20ms"})
    result = running.wait(60)
    assert result.status in status, result
    for words in said:
        assert words in result.err, result
    for secret in keys.secrets():
        assert secret not in result.text, "a secret was printed"
    assert lines_of(weir.folder / "out") == [] and not keys.users
    return result


def test_sts_refuses(weir, keys):
    keys.script["sts"].extend([sts_error("AccessDenied", "User is not authorized to perform sts:AssumeRole", 403)] * 9)
    fails(weir, keys, {"provider": "assume_role", "role_arn": ROLE}, user(keys), ROLE, "AccessDenied",
          "not authorized", "trust")
    assert keys.calls["sts"] <= 2


@pytest.mark.parametrize("answer, said", [
    (sts_error("InternalFailure", "oops", 500), "oops"),
    (sts_error("Throttling", "Rate exceeded", 400), "Rate exceeded"),
    (hang_up(), "sts:AssumeRole"),
    (plain(200, "<html>hello</html>"), "no usable keys"),
], ids=["500", "throttled", "hang-up", "not-sts"])
def test_sts_in_trouble(weir, keys, answer, said):
    keys.script["sts"].extend([answer] * 99)
    said = "taking role" if answer.close else said
    fails(weir, keys, {"provider": "assume_role", "role_arn": ROLE}, user(keys), said, keys.endpoint)
    if answer.status != 200:
        assert keys.calls["sts"] >= 3, "it was not tried again"


def test_sts_recovers(weir, keys):
    keys.script["sts"].extend([sts_error("InternalFailure", "oops", 500), hang_up()])
    finish(weir, keys, start(weir, keys, {"provider": "assume_role", "role_arn": ROLE}, user(keys)))


@pytest.mark.parametrize("credentials, env, said", [
    ({"provider": "web_identity", "role_arn": ROLE}, {}, ["token_file", "AWS_WEB_IDENTITY_TOKEN_FILE"]),
    ({"provider": "web_identity", "role_arn": ROLE, "token_file": "/nonexistent/token"}, {},
     ["/nonexistent/token", "No such file"]),
    ({"provider": "web_identity", "token_file": "/nonexistent/token"}, {}, ["AWS_ROLE_ARN"]),
    ({"provider": "container"}, {}, ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]),
    ({"provider": "container"}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://keys.example.com/x"},
     ["keys.example.com", "https"]),
    ({"provider": "container"}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.evil.example/x"}, ["https"]),
    ({"provider": "imds"}, {}, ["AWS_EC2_METADATA_DISABLED"]),
    ({"provider": "process", "command": "/nonexistent/program"}, {}, ["/nonexistent/program", "No such file"]),
    ({"provider": "process", "command": "'open"}, {}, ["open quote"]),
    ({"provider": "process"}, {}, ["credentials.command"]),
    ({"provider": "assume_role"}, {}, ["role_arn"]),
    ({"provider": "assume_role", "role_arn": ROLE, "source": {"provider": "env"}}, {}, ["AWS_ACCESS_KEY_ID"]),
    ({"role_arn": ROLE}, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, ["provider"]),
], ids=lambda v: str(len(str(v))) if not isinstance(v, list) else v[0][:20].replace("/", "_"))
def test_what_is_missing_is_named(weir, keys, credentials, env, said):
    fails(weir, keys, credentials, env, *said)


@pytest.mark.parametrize("config, said", [
    ("[profile p]\nsso_session = corp\nsso_account_id = 1\n", ["sso_session", "browser"]),
    (f"[profile p]\nrole_arn = {ROLE}\n", ["source_profile"]),
    (f"[profile p]\nrole_arn = {ROLE}\nsource_profile = q\n", ["\"q\"", "does not exist"]),
    (f"[profile p]\nrole_arn = {ROLE}\nsource_profile = q\n[profile q]\nrole_arn = {ROLE}\nsource_profile = p\n",
     ["back to"]),
    (f"[profile p]\nrole_arn = {ROLE}\ncredential_source = Moon\n", ["Moon"]),
    (f"[profile p]\nrole_arn = {ROLE}\ncredential_source = Environment\n", ["Environment"]),
    (f"[profile p]\nrole_arn = {ROLE}\nsource_profile = p\nmfa_serial = m\n", ["mfa_serial"]),
    ("[profile p]\nregion = eu-west-1\n", ["\"p\"", "has no keys"]),
], ids=["sso", "no-source", "no-such", "loop", "moon", "environment", "mfa", "empty"])
def test_profiles_that_lead_nowhere(weir, keys, config, said):
    fails(weir, keys, {"profile": "p"}, files(weir, config), *said)


@pytest.mark.parametrize("text, said", [
    ("import sys\nprint('my-own-secret')\nprint('vault is sealed', file=sys.stderr)\nsys.exit(3)\n",
     ["exit status 3", "vault is sealed"]),
    ("print('my-own-secret')\n", ["not a JSON object"]),
    ("print('{\"Version\": 2, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"my-own-secret\"}')\n", ["Version"]),
    ("print('{\"Version\": 1, \"AccessKeyId\": \"a\"}')\n", ["SecretAccessKey"]),
    ("print('{\"Version\": 1, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"my-own-secret\", "
     "\"Expiration\": \"2020-01-01T00:00:00Z\"}')\n", ["expired"]),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", ["signal"]),
    ("print('x' * 100000)\n", ["65,536"]),
], ids=["status", "garbage", "version", "half", "expired", "signal", "endless"])
def test_programs_that_fail(weir, keys, text, said):
    result = fails(weir, keys, {"provider": "process", "command": str(program(weir, text))}, {}, *said)
    assert "my-own-secret" not in result.text


@pytest.mark.parametrize("script, said", [
    ([plain(403)], ["HTTP status 403", "IMDSv2"]),
    ([plain(200, "t"), plain(404)], ["HTTP status 404", "instance profile"]),
    ([plain(200, "t"), plain(200, "r"), plain(200, json.dumps({"Code": "AssumeRoleUnauthorizedAccess",
                                                              "Message": "no trust"}))],
     ["AssumeRoleUnauthorizedAccess"]),
], ids=["version-1", "no-role", "no-trust"])
def test_the_instance_has_no_keys(weir, keys, script, said):
    keys.script["imds"].extend(script)
    fails(weir, keys, {"provider": "imds"}, {
        "AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": keys.endpoint}, *said)


def fails_at(weir, aws, credentials, env, *said):
    running = start(weir, aws, credentials, env, retry={"attempts": 1, "base": "20ms"})
    result = running.wait(60)
    assert result.status in (FAILED, CONFIG), result
    for words in said:
        assert words in result.err, result
    assert lines_of(weir.folder / "out") == [] and "X-Injected" not in result.text
    for secret in aws.secrets():
        assert secret not in result.text, "a secret was printed"


@pytest.mark.parametrize("settings, said", [
    ({"imds": False}, ["HTTP status 403", "IMDSv2"]),
    ({"role": None}, ["HTTP status 404", "instance profile"]),
    ({"hop_limit_reached": True}, ["hop limit"]),
    ({"answer": "refused"}, ["AssumeRoleUnauthorizedAccess"]),
    ({"answer": "cut"}, ["not a JSON object"]),
    ({"answer": "html"}, ["not a JSON object"]),
    ({"answer": "empty"}, ["not a JSON object"]),
    ({"line_ends": True}, ["line end"]),
], ids=lambda v: "-".join(f"{k}-{x}" for k, x in v.items()) if isinstance(v, dict) else "")
def test_the_instance_is_in_trouble(weir, aws, settings, said):
    aws.admin("POST", "metadata", settings)
    fails_at(weir, aws, {"provider": "imds"}, aws.imds(), aws.endpoint, *said)


def test_the_instance_recovers(weir, aws):
    """A session token that does not come, and one that is stale at once: once each."""
    aws.faults([{"service": "metadata", "operation": "Token", "latency_ms": 60000, "count": 1},
                {"service": "metadata", "operation": "RoleCredentials", "status": 401, "count": 1}])
    finish(weir, aws, start(weir, aws, {"provider": "imds"}, aws.imds()), aws.want)
    assert [rule["hits"] for rule in aws.admin("GET", "faults")["rules"]] == [1, 1]
    assert aws.operations("metadata") == {"Token": (2, 0), "Role": (2, 0), "RoleCredentials": (1, 1)}


def test_keys_of_an_instance_in_an_outage(weir, aws):
    """Old keys are handed out and accepted; they are used on."""
    aws.admin("POST", "metadata", {"stale_s": 60})
    result = finish(weir, aws, start(weir, aws, {"provider": "imds"}, aws.imds()), aws.want)
    assert "using them for another ten minutes" in result.err


@pytest.mark.parametrize("place, settings, said", [
    (container, {"answer": "cut"}, ["not a JSON object"]),
    (container, {"line_ends": True}, ["line end"]),
    (container, {"container_token": "another"}, ["HTTP status 403", "token"]),
    (container, {"role": None}, ["HTTP status 400", "role"]),
    (pod, {"pod_token": "another"}, ["HTTP status 400", "token"]),
    (pod, {"answer": "refused"}, ["AccessKeyId"]),
], ids=["cut", "line-ends", "wrong-token", "no-role", "pod-wrong-token", "pod-refused"])
def test_containers_are_in_trouble(weir, aws, place, settings, said):
    credentials, env = place(weir, aws)
    aws.admin("POST", "metadata", settings)
    fails_at(weir, aws, {"provider": "container"}, env, aws.endpoint, *said)


@pytest.mark.parametrize("token, said", [
    (jwt(exp=1700000000), ["ExpiredTokenException", "1700000000"]),
    ("opaque-token", ["InvalidIdentityToken", "not a valid JWT"]),
], ids=["expired", "opaque"])
def test_a_web_identity_that_is_refused(weir, aws, token, said):
    credentials, env = web_identity(weir, aws)
    (weir.folder / "token").write_text(token)
    fails_at(weir, aws, credentials, env, ROLE, *said)


def test_a_web_identity_that_is_renewed(weir, aws):
    """The file is read anew at each refresh: the token in it is another one by then."""
    credentials, env = web_identity(weir, aws)
    running = start(weir, aws, credentials, env)
    wait_bytes(weir.folder / "out", sum(len(x) + 1 for x in aws.want), 60, running)
    old = (weir.folder / "token").read_text().split(".")[1]
    aws.faults([{"service": "sts", "contains": old, "exception": "ExpiredTokenException"}])
    (weir.folder / "token").write_text(jwt(exp=4e9, round=2))
    before = issued(aws)
    aws.advance(3601)
    aws.feed([b"more"])
    wait_for(lambda: issued(aws) > before or not running.alive(), 60, "there are new keys")
    finish(weir, aws, running, aws.want)


@pytest.mark.parametrize("rule, said", [
    ({"exception": "IDPCommunicationError", "message": "the provider is away"}, "the provider is away"),
    ({"exception": "ServiceUnavailable", "message": "later"}, "later"),
], ids=["provider", "503"])
def test_sts_is_in_trouble_for_a_while(weir, aws, rule, said):
    credentials, env = web_identity(weir, aws)
    aws.faults([{"service": "sts", "count": 2, **rule}])
    finish(weir, aws, start(weir, aws, credentials, env), aws.want)
    assert aws.operations("sts") == {"AssumeRoleWithWebIdentity": (1, 2)}
    aws.faults([{"service": "sts", **rule}])
    fails_at(weir_driver(weir.folder / "again"), aws, credentials, env, said)


def test_a_role_that_may_not_be_taken(weir, aws):
    credentials, env = a_role(weir, aws)
    aws.admin("POST", "sts", {"deny": [ROLE]})
    fails_at(weir, aws, credentials, env, "AccessDenied", "is not authorized to perform: sts:AssumeRole", "trust")


def test_long_session_tokens(weir, aws):
    aws.admin("POST", "sts", {"token_bytes": 16000})
    credentials, env = a_role_through_a_role(weir, aws)
    finish(weir, aws, start(weir, aws, credentials, env), aws.want)


def test_nothing_anywhere(weir, keys):
    """The last place is asked, and all of them are named."""
    fails(weir, keys, None, {"AWS_EC2_METADATA_DISABLED": "false",
                             "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9"},
          "no AWS credentials found", "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE",
          "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "http://127.0.0.1:9", status=(CONFIG,))


# ---- with somebody else's signature check ----

def test_moto_accepts_the_role_and_its_keys(weir, moto):
    moto.client.create_stream(StreamName="by-role", ShardCount=1)
    for i in range(20):
        moto.client.put_record(StreamName="by-role", Data=b"record-%06d" % i, PartitionKey="k")
    import boto3
    iam = boto3.client("iam", endpoint_url=moto.endpoint, region_name="us-east-1",
                       aws_access_key_id=moto.access_key_id, aws_secret_access_key=moto.secret)
    document = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    trust = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]})
    arn = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName="reader", PolicyName="all", PolicyDocument=document)
    running = weir.start("run", weir.manifest(manifest(
        None, {"provider": "assume_role", "role_arn": arn}, endpoint=moto.endpoint, stream="by-role", wire="json")),
        env={"AWS_ENDPOINT_URL_STS": moto.endpoint, "AWS_ACCESS_KEY_ID": moto.access_key_id,
             "AWS_SECRET_ACCESS_KEY": moto.secret})
    want = [b"record-%06d" % i for i in range(20)]
    wait_bytes(weir.folder / "out", sum(len(x) + 1 for x in want), 60, running)
    result = running.stop()
    assert result.status == OK and lines_of(weir.folder / "out") == want, result
