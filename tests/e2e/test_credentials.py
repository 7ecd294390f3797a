"""Every place that keys come from: that they arrive, end, are replaced, and fail in clear words."""

import json
import stat
import sys

import pytest

from credential_stub import CredentialStub, plain, sts_error
from processes import wait_for
from stub import hang_up
from weir import CONFIG, FAILED, OK, lines_of, pipeline, wait_bytes

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

def test_a_role(weir, keys):
    running = start(weir, keys, {"provider": "assume_role", "role_arn": ROLE, "external_id": "a b&c",
                                 "role_session_name": "me", "duration": "30m"}, user(keys))
    finish(weir, keys, running)
    assert owners(keys) == {ROLE}
    _, form = keys.asked[0]
    assert (form["ExternalId"], form["RoleSessionName"], form["DurationSeconds"]) == ("a b&c", "me", "1800")


def test_a_role_in_another_account_through_a_role(weir, keys):
    running = start(weir, keys, {"provider": "assume_role", "role_arn": OTHER, "source": {
        "provider": "assume_role", "role_arn": ROLE, "source": {"provider": "env"}}}, user(keys))
    finish(weir, keys, running)
    assert owners(keys) == {OTHER}
    assert [form["RoleArn"] for _, form in keys.asked][:2] == [ROLE, OTHER]


def test_profiles_that_lead_to_a_role(weir, keys):
    key_id, secret, _ = keys.add_keys("person", token=False)
    env = files(weir, f"[profile job]\nrole_arn = {OTHER}\nsource_profile = middle\nexternal_id = x-1\n"
                      f"[profile middle]\nrole_arn = {ROLE}\nsource_profile = person\n",
                f"[person]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n")
    finish(weir, keys, start(weir, keys, {"profile": "job"}, env))
    assert owners(keys) == {OTHER}
    assert [form.get("ExternalId") for _, form in keys.asked][:2] == [None, "x-1"]


def test_a_web_identity(weir, keys):
    (weir.folder / "token").write_text("web/identity+token\n")
    env = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(weir.folder / "token"), "AWS_ROLE_ARN": ROLE,
           "AWS_ROLE_SESSION_NAME": "pod"}
    finish(weir, keys, start(weir, keys, None, env))  # found by `auto`
    assert owners(keys) == {ROLE} and keys.asked[0][1]["RoleSessionName"] == "pod"


def test_a_container_with_a_token_file(weir, keys):
    keys.container_token = "Bearer pod-identity"
    (weir.folder / "auth").write_text("Bearer pod-identity\n")
    env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{keys.endpoint}/container",
           "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(weir.folder / "auth")}
    finish(weir, keys, start(weir, keys, None, env))
    assert owners(keys) == {"container"}


def test_a_container_is_never_asked_through_a_proxy(weir, keys):
    env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{keys.endpoint}/container",
           "http_proxy": "http://127.0.0.1:9", "no_proxy": "localhost"}
    finish(weir, keys, start(weir, keys, None, env, endpoint=f"http://localhost:{keys.port}"))
    assert owners(keys) == {"container"}


def test_an_instance(weir, keys):
    env = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": keys.endpoint}
    finish(weir, keys, start(weir, keys, None, env))
    assert owners(keys) == {"imds"} and keys.imds_tokens


def test_a_program(weir, keys):
    key_id, secret, token = keys.add_keys("program")
    path = program(weir, "import json, sys\nassert sys.argv[1:] == ['two words', '$HOME']\n" + "print(json.dumps("
                   + repr({"Version": 1, "AccessKeyId": key_id, "SecretAccessKey": secret,
                           "SessionToken": token, "Expiration": keys.expiration()}) + "))\n")
    command = f"{path} 'two words' $HOME"  # no shell looks at it
    finish(weir, keys, start(weir, keys, {"provider": "process", "command": command}))
    assert owners(keys) == {"program"}


# ---- they end ----

@pytest.mark.parametrize("which", ["role", "imds"])
def test_keys_are_replaced_before_their_end(weir, keys, which):
    keys.life_s = 6
    if which == "role":
        running = start(weir, keys, {"provider": "assume_role", "role_arn": ROLE}, user(keys))
    else:
        running = start(weir, keys, {"provider": "imds"}, {
            "AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": keys.endpoint})
    wait_for(lambda: len(keys.users) >= 3 or not running.alive(), 60, "the keys changed twice")
    result = finish(weir, keys, running)
    assert "expired" not in result.err.lower(), result


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
    keys.life_s = 30
    running = start(weir, keys, {"provider": "assume_role", "role_arn": ROLE}, user(keys))
    wait_bytes(weir.folder / "out", 1, 60, running)
    keys.answer_next("sts", *[sts_error("AccessDenied", "not now", 403)] * 1)
    wait_for(lambda: len(keys.users) >= 2 or not running.alive(), 60, "keys changed in the end")
    result = finish(weir, keys, running)
    assert "going on with the old ones" in result.err and "not now" in result.err


# ---- the clock ----

@pytest.mark.parametrize("ahead", [3600, -7200])
@pytest.mark.parametrize("role", [False, True], ids=["user", "role"])
def test_a_wrong_clock_is_corrected(weir, keys, ahead, role):
    keys.ahead_s = ahead
    running = start(weir, keys, {"provider": "assume_role", "role_arn": ROLE} if role else None, user(keys))
    result = finish(weir, keys, running)
    if not role:
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


def test_the_container_refuses(weir, keys):
    keys.container_token = "right"
    fails(weir, keys, {"provider": "container"}, {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{keys.endpoint}/container",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "wrong"}, "HTTP status 403", "token")


def test_nothing_anywhere(weir, keys):
    """The last place is asked, and all of them are named."""
    fails(weir, keys, None, {"AWS_EC2_METADATA_DISABLED": "false",
                             "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9"},
          "no AWS credentials found", "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE",
          "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "http://127.0.0.1:9")


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
