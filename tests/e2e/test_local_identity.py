"""weir-local's STS and credential endpoints: boto3, its own metadata fetchers, and plain requests."""

import base64
import datetime
import json
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher

from local import ONCE, LocalAws

ROLE = "arn:aws:iam::123456789012:role/path/reader"
OTHER = "arn:aws:iam::210987654321:role/far"
NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"


@pytest.fixture
def local(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify", "--stream", "one:1") as endpoint:
        yield endpoint


@pytest.fixture
def sts(local):
    return local.client("sts", ONCE)


def code(error):
    return error.value.response["Error"]["Code"], error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def refused(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return (*code(error), error.value.response["Error"]["Message"])


def with_keys(local, service, keys):
    return local.client(service, ONCE, aws_access_key_id=keys["AccessKeyId"],
                        aws_secret_access_key=keys["SecretAccessKey"],
                        aws_session_token=keys.get("SessionToken") or keys.get("Token"))


def unsigned(local, service):
    from botocore import UNSIGNED
    return boto3.client(service, endpoint_url=local.endpoint, region_name="us-east-1",
                        config=Config(signature_version=UNSIGNED, retries=ONCE))


def jwt(**claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256', 'kid': '1'})}.{part({'sub': 'system:serviceaccount:a:b', **claims})}.c2lnbmVk"


def http(local, method, path, headers=None, data=None):
    """Status, headers, body."""
    request = urllib.request.Request(local.endpoint + path, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


# ---- STS: who is who ----

def test_caller_identity(local, sts):
    me = sts.get_caller_identity()
    assert me["Account"] == "000000000000" and me["Arn"] == "arn:aws:iam::000000000000:user/local"
    assert me["UserId"].startswith("AIDA") and len(me["UserId"]) == 21
    assert len(me["ResponseMetadata"]["RequestId"]) == 36
    assert me["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "text/xml"
    stats = local.admin("GET", "stats")["operations"]["sts.GetCallerIdentity"]
    assert (stats["requests"], stats["errors"]) == (1, 0)


def test_a_role_and_its_keys(local, sts):
    answer = sts.assume_role(RoleArn=ROLE, RoleSessionName="me@home", DurationSeconds=900, ExternalId="a:b/c-d",
                             SourceIdentity="person", Policy='{"Version": "2012-10-17"}',
                             PolicyArns=[{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
                             Tags=[{"Key": "team", "Value": "a b&c"}], TransitiveTagKeys=["team"],
                             SerialNumber="arn:aws:iam::1:mfa/me", TokenCode="123456")
    keys, user = answer["Credentials"], answer["AssumedRoleUser"]
    assert user["Arn"] == "arn:aws:sts::123456789012:assumed-role/reader/me@home"
    assert user["AssumedRoleId"].startswith("AROA") and user["AssumedRoleId"].endswith(":me@home")
    assert keys["AccessKeyId"].startswith("ASIA") and len(keys["AccessKeyId"]) == 20
    assert len(keys["SecretAccessKey"]) == 40 and len(keys["SessionToken"]) >= 400
    left = keys["Expiration"].timestamp() - time.time()
    assert 0 < left <= 901 and answer["SourceIdentity"] == "person" and 0 < answer["PackedPolicySize"] <= 100
    again = sts.assume_role(RoleArn=ROLE, RoleSessionName="you")["AssumedRoleUser"]["AssumedRoleId"]
    assert again.split(":")[0] == user["AssumedRoleId"].split(":")[0]  # the role's id is its own
    me = with_keys(local, "sts", keys).get_caller_identity()
    assert (me["Arn"], me["UserId"], me["Account"]) == (user["Arn"], user["AssumedRoleId"], "123456789012")
    assert with_keys(local, "kinesis", keys).list_streams()["StreamNames"] == ["one"]


def test_a_role_from_a_role(local, sts):
    first = with_keys(local, "sts", sts.assume_role(RoleArn=ROLE, RoleSessionName="one")["Credentials"])
    second = first.assume_role(RoleArn=OTHER, RoleSessionName="two", DurationSeconds=3600)
    me = with_keys(local, "sts", second["Credentials"]).get_caller_identity()
    assert me["Arn"] == "arn:aws:sts::210987654321:assumed-role/far/two"
    said = refused(first.assume_role, RoleArn=OTHER, RoleSessionName="two", DurationSeconds=3601)
    assert said[:2] == ("ValidationError", 400) and "role chaining" in said[2]
    assert refused(first.get_session_token)[:2] == ("AccessDenied", 403)
    assert refused(first.get_federation_token, Name="fed")[:2] == ("AccessDenied", 403)


def test_a_web_identity(local):
    sts = unsigned(local, "sts")
    answer = sts.assume_role_with_web_identity(RoleArn=ROLE, RoleSessionName="pod", WebIdentityToken=jwt(
        exp=int(time.time()) + 600, aud=["sts.amazonaws.com"], iss="https://oidc.example.com"))
    assert answer["SubjectFromWebIdentityToken"] == "system:serviceaccount:a:b"
    assert (answer["Audience"], answer["Provider"]) == ("sts.amazonaws.com", "https://oidc.example.com")
    me = with_keys(local, "sts", answer["Credentials"]).get_caller_identity()
    assert me["Arn"] == answer["AssumedRoleUser"]["Arn"]
    for token in "none", "a.b.c", "x." + jwt().split(".", 1)[1], jwt() + ".more", jwt().rsplit(".", 1)[0]:
        said = refused(sts.assume_role_with_web_identity, RoleArn=ROLE, RoleSessionName="pod",
                       WebIdentityToken=token)
        assert said[:2] == ("InvalidIdentityToken", 400), token
        assert token not in said[2]
    said = refused(sts.assume_role_with_web_identity, RoleArn=ROLE, RoleSessionName="pod",
                   WebIdentityToken=jwt(exp=1700000000))
    assert said[:2] == ("ExpiredTokenException", 400) and "1700000000" in said[2]
    local.skew(-7200)  # the token's end is held against the time that clients are told
    sts.assume_role_with_web_identity(RoleArn=ROLE, RoleSessionName="pod",
                                      WebIdentityToken=jwt(exp=int(time.time()) - 60))


def test_sessions(local, sts):
    keys = sts.get_session_token(DurationSeconds=129600, SerialNumber="123456789", TokenCode="654321")["Credentials"]
    assert with_keys(local, "sts", keys).get_caller_identity()["Arn"] == sts.get_caller_identity()["Arn"]
    answer = sts.get_federation_token(Name="guest", DurationSeconds=900, Policy='{"Statement": []}')
    assert answer["FederatedUser"]["Arn"] == "arn:aws:sts::000000000000:federated-user/guest"
    assert answer["FederatedUser"]["FederatedUserId"] == "000000000000:guest"
    me = with_keys(local, "sts", answer["Credentials"]).get_caller_identity()
    assert me["Arn"] == answer["FederatedUser"]["Arn"]
    role = sts.assume_role(RoleArn=ROLE, RoleSessionName="xx")["Credentials"]["AccessKeyId"]
    assert sts.get_access_key_info(AccessKeyId=role)["Account"] == "123456789012"
    assert sts.get_access_key_info(AccessKeyId="AKIA" + "A" * 16)["Account"] == "000000000000"


def test_presigned_identity(local, sts):
    url = sts.generate_presigned_url("get_caller_identity", HttpMethod="GET")
    status, _, body = http(local, "GET", url[len(local.endpoint):])
    assert status == 200 and "arn:aws:iam::000000000000:user/local" in body
    status, _, body = http(local, "GET", url[len(local.endpoint):-1] + "0" * (url[-1] != "0") + "1" * (url[-1] == "0"))
    assert status == 403 and "SignatureDoesNotMatch" in body


# ---- STS: refusals ----

@pytest.mark.parametrize("more, said", [
    ({"DurationSeconds": 899}, "at 'durationSeconds' failed to satisfy constraint: Member must have value "
                               "greater than or equal to 900"),
    ({"DurationSeconds": 43201}, "less than or equal to 43200"),
    ({"RoleSessionName": "a b"}, "Value 'a b' at 'roleSessionName' failed to satisfy constraint: Member must "
                                 "satisfy regular expression pattern: [\\w+=,.@-]*"),
    ({"RoleSessionName": "x" * 65}, "length less than or equal to 64"),
    ({"ExternalId": "a b"}, "externalId"),
    ({"ExternalId": "x" * 1225}, "less than or equal to 1224"),
    ({"TokenCode": "12345x"}, "tokenCode"),
    ({"SourceIdentity": "a/b"}, "sourceIdentity"),
    ({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/x"}] * 11}, "policyArns"),
    ({"Tags": [{"Key": f"k{i}", "Value": ""} for i in range(51)]}, "tags"),
    ({"Tags": [{"Key": "k", "Value": "x" * 257}]}, "tags.member.value"),
    ({"RoleArn": "arn:aws:iam::12345:role/reader"}, "is invalid"),
    ({"RoleArn": "arn:aws:iam::123456789012:user/reader"}, "is invalid"),
    ({"RoleArn": "arn:aws:iam::1"}, "greater than or equal to 20"),
], ids=lambda v: next(iter(v)) if isinstance(v, dict) else "")
def test_limits_of_roles(local, more, said):
    sts = local.client("sts", ONCE, checked=False)
    arguments = {"RoleArn": ROLE, "RoleSessionName": "me", **more}
    error = refused(sts.assume_role, **arguments)
    assert error[:2] == ("ValidationError", 400) and said in error[2], error
    if "TokenCode" in more:
        assert "12345x" not in error[2]


def test_more_than_one_thing_is_wrong(local):
    error = refused(local.client("sts", ONCE, checked=False).assume_role, RoleArn=ROLE, RoleSessionName="a b", DurationSeconds=1)
    assert error[2].startswith("2 validation errors detected: Value 'a b' at 'roleSessionName'")


def test_policies(sts):
    error = refused(sts.assume_role, RoleArn=ROLE, RoleSessionName="me", Policy="no json")
    assert error[:2] == ("MalformedPolicyDocument", 400)
    error = refused(sts.assume_role, RoleArn=ROLE, RoleSessionName="me", Policy=json.dumps({"S": "x" * 2100}))
    assert error[:2] == ("PackedPolicyTooLarge", 400) and "%" in error[2]


def test_roles_that_are_not_there(local, sts):
    local.admin("POST", "sts", {"deny": ["far"], "external_ids": {ROLE: "x-1"}})
    error = refused(sts.assume_role, RoleArn=OTHER, RoleSessionName="me")
    assert error == ("AccessDenied", 403, "User: arn:aws:iam::000000000000:user/local is not authorized to "
                     f"perform: sts:AssumeRole on resource: {OTHER}")
    assert refused(sts.assume_role, RoleArn=ROLE, RoleSessionName="me")[0] == "AccessDenied"
    assert refused(sts.assume_role, RoleArn=ROLE, RoleSessionName="me", ExternalId="x-2")[0] == "AccessDenied"
    sts.assume_role(RoleArn=ROLE, RoleSessionName="me", ExternalId="x-1")
    error = refused(unsigned(local, "sts").assume_role_with_web_identity, RoleArn=OTHER, RoleSessionName="me",
                    WebIdentityToken=jwt())
    assert error == ("AccessDenied", 403, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
    set_ = local.admin("POST", "sts", {"deny": None, "external_ids": None, "roles": [OTHER]})
    assert (set_["roles"], set_["deny"], set_["external_ids"]) == ([OTHER], None, None)
    sts.assume_role(RoleArn=OTHER, RoleSessionName="me")
    assert refused(sts.assume_role, RoleArn=ROLE, RoleSessionName="me")[0] == "AccessDenied"


@pytest.mark.parametrize("body", [{"deny": "x"}, {"deny": [1]}, {"external_ids": ["x"]}, {"duration_s": 0},
                                  {"token_bytes": 1}, {"unknown": 1}, []], ids=str)
def test_settings_that_cannot_be(local, body):
    for service in "sts", "metadata":
        with pytest.raises(urllib.error.HTTPError) as error:
            local.admin("POST", service, body)
        assert error.value.code == 400 and "expected" in json.load(error.value)["error"]


def test_what_is_not_offered(local, sts):
    saml = refused(unsigned(local, "sts").assume_role_with_saml, RoleArn=ROLE,
                   PrincipalArn="arn:aws:iam::123456789012:saml-provider/x", SAMLAssertion="abcd")
    assert saml[:2] == ("UnsupportedOperation", 400) and "SAML" in saml[2]
    assert refused(sts.decode_authorization_message, EncodedMessage="abc")[0] == "UnsupportedOperation"
    status, _, body = http(local, "POST", "/", data=b"Action=Nonsense&Version=2011-06-15")
    root = ET.fromstring(body)
    assert status == 400 and root.tag == NAMESPACE + "ErrorResponse"
    assert root.findtext(f"{NAMESPACE}Error/{NAMESPACE}Code") == "InvalidAction"
    assert root.findtext(f"{NAMESPACE}Error/{NAMESPACE}Type") == "Sender"
    assert len(root.findtext(f"{NAMESPACE}RequestId")) == 36
    assert "MissingAction" in http(local, "POST", "/", data=b"Version=2011-06-15")[2]


# ---- keys that are not good, in the words of each protocol ----

def test_bad_keys_in_each_protocol(local, sts):
    keys = sts.assume_role(RoleArn=ROLE, RoleSessionName="me")["Credentials"]
    cases = [
        ({**keys, "SessionToken": None}, ("InvalidClientTokenId", 403), ("UnrecognizedClientException", 400)),
        ({**keys, "SessionToken": "made-up"}, ("InvalidClientTokenId", 403), ("UnrecognizedClientException", 400)),
        ({**keys, "AccessKeyId": "ASIA" + "B" * 16}, ("InvalidClientTokenId", 403),
         ("UnrecognizedClientException", 400)),
        ({**keys, "SecretAccessKey": "x" * 40}, ("SignatureDoesNotMatch", 403), ("InvalidSignatureException", 400)),
    ]
    for bad, query, json_ in cases:
        assert refused(with_keys(local, "sts", bad).get_caller_identity)[:2] == query
        assert refused(with_keys(local, "kinesis", bad).list_streams)[:2] == json_
        assert refused(with_keys(local, "secretsmanager", bad).list_secrets)[:2] == json_
    assert http(local, "POST", "/", data=b"Action=GetCallerIdentity&Version=2011-06-15")[0] == 403
    assert refused(unsigned(local, "sts").get_caller_identity)[:2] == ("MissingAuthenticationToken", 403)
    local.skew(3600)
    said = refused(sts.get_caller_identity)
    assert said[:2] == ("SignatureDoesNotMatch", 403) and "Signature expired" in said[2]


def test_keys_end_by_the_services_clock(local, sts):
    keys = sts.assume_role(RoleArn=ROLE, RoleSessionName="me", DurationSeconds=900)["Credentials"]
    local.advance(890)
    with_keys(local, "kinesis", keys).list_streams()
    local.advance(10)
    said = refused(with_keys(local, "sts", keys).get_caller_identity)
    assert said == ("ExpiredToken", 403, "The security token included in the request is expired")
    assert refused(with_keys(local, "kinesis", keys).list_streams)[:2] == ("ExpiredTokenException", 400)
    sts.get_caller_identity()  # a user's keys do not end


def test_expiration_is_told_in_the_time_that_clients_are_told(local, sts):
    local.advance(86400)
    keys = sts.assume_role(RoleArn=ROLE, RoleSessionName="me", DurationSeconds=900)["Credentials"]
    assert abs(keys["Expiration"].timestamp() - time.time() - 900) < 120
    with_keys(local, "kinesis", keys).list_streams()
    local.skew(7200)
    unsigned(local, "sts").assume_role_with_web_identity(RoleArn=ROLE, RoleSessionName="me", WebIdentityToken=jwt())
    told = unsigned(local, "sts").assume_role_with_web_identity(
        RoleArn=ROLE, RoleSessionName="me", WebIdentityToken=jwt())["Credentials"]["Expiration"]
    assert abs(told.timestamp() - time.time() - 7200 - 3600) < 120


def test_short_lives_and_long_tokens(local, sts):
    local.admin("POST", "sts", {"duration_s": 2, "token_bytes": 12000})
    keys = sts.assume_role(RoleArn=ROLE, RoleSessionName="me")["Credentials"]
    assert len(keys["SessionToken"]) == 12000
    assert keys["Expiration"].timestamp() - time.time() < 3
    local.advance(2)
    assert refused(with_keys(local, "kinesis", keys).list_streams)[0] == "ExpiredTokenException"


def test_keys_outlive_the_endpoint(tmp_path):
    state, keys = tmp_path / "state", []
    for round_ in range(3):
        here = tmp_path / str(round_)
        here.mkdir()
        with LocalAws(here, "--auth", "verify", "--dir", state) as local:
            for old in keys:
                assert with_keys(local, "sts", old).get_caller_identity()["Account"] == "123456789012"
            keys.append(local.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="me")["Credentials"])
            assert local.admin("POST", "sts", {})["issued"] == len(keys)
            if round_ == 2:
                local.advance(3601)
                assert refused(with_keys(local, "sts", keys[0]).get_caller_identity)[0] == "ExpiredToken"
    assert len({one["AccessKeyId"] for one in keys}) == 3
    with LocalAws(tmp_path, "--auth", "verify", "--dir", state) as local:
        assert local.admin("POST", "sts", {})["issued"] == 0  # what has ended is not kept


def test_faults_of_sts(local, sts):
    local.faults([{"service": "sts", "operation": "AssumeRole", "exception": "IDPCommunicationError", "count": 1,
                   "message": "a <b> & c"},
                  {"service": "sts", "operation": "GetCallerIdentity", "exception": "InternalFailure", "count": 1}])
    said = refused(sts.assume_role, RoleArn=ROLE, RoleSessionName="me")
    assert said == ("IDPCommunicationError", 400, "a <b> & c")
    assert refused(sts.get_caller_identity)[:2] == ("InternalFailure", 500)
    local.client("sts").get_caller_identity()
    assert [rule["hits"] for rule in local.admin("GET", "faults")["rules"]] == [1, 1]


# ---- the instance ----

TOKEN, ROLES = "/latest/api/token", "/latest/meta-data/iam/security-credentials/"
TTL, SESSION = "x-aws-ec2-metadata-token-ttl-seconds", "x-aws-ec2-metadata-token"


def session_token(local, seconds=21600):
    status, headers, body = http(local, "PUT", TOKEN, {TTL: str(seconds)})
    assert (status, headers[TTL]) == (200, str(seconds))
    return body


def see(local, path, token=None):
    return http(local, "GET", path, {SESSION: token or session_token(local)})[::2]


def test_instance_metadata(local):
    token = session_token(local)
    assert len(token) == 56
    assert see(local, "/latest/meta-data/placement/region", token) == (200, "us-east-1")
    assert see(local, "/latest/meta-data/placement/availability-zone", token) == (200, "us-east-1a")
    top = see(local, "/latest/meta-data/", token)[1].split("\n")
    assert {"ami-id", "iam/", "instance-id", "placement/", "services/"} <= set(top) and len(top) == len(set(top))
    assert see(local, "/latest/meta-data", token)[1].split("\n") == top
    assert see(local, "/latest/meta-data/iam/", token)[1] == "info\nsecurity-credentials/"
    for path in "nonsense", "instance-id/more", "iam/security-credentials/other", "x" * 100:
        assert see(local, "/latest/meta-data/" + path, token)[0] == 404
    document = json.loads(see(local, "/latest/dynamic/instance-identity/document", token)[1])
    assert (document["region"], document["accountId"]) == ("us-east-1", "000000000000")
    assert document["instanceId"] == see(local, "/latest/meta-data/instance-id", token)[1]
    assert json.loads(see(local, "/latest/meta-data/iam/info", token)[1])["InstanceProfileArn"] == \
        "arn:aws:iam::000000000000:instance-profile/weir-local"


def test_session_tokens_of_the_instance(local):
    for headers in {}, {TTL: "0"}, {TTL: "21601"}, {TTL: "x"}:
        assert http(local, "PUT", TOKEN, headers)[0] == 400
    assert http(local, "PUT", TOKEN, {TTL: "60", "X-Forwarded-For": "1.2.3.4"})[0] == 403
    assert http(local, "GET", TOKEN)[0] == 405
    token = session_token(local, 10)
    assert http(local, "POST", ROLES, {SESSION: token}, b"")[0] == 405
    assert http(local, "GET", ROLES)[0] == 401
    assert see(local, ROLES, "made-up")[0] == 401
    assert see(local, ROLES, token) == (200, "weir-local")
    local.advance(10)
    assert see(local, ROLES, token)[0] == 401
    local.admin("POST", "metadata", {"v1": True})
    assert http(local, "GET", ROLES)[0] == 200
    assert see(local, ROLES, token)[0] == 401  # a token that is given must be a good one
    local.admin("POST", "metadata", {"imds": False})
    assert http(local, "PUT", TOKEN, {TTL: "60"})[0] == 403 and http(local, "GET", ROLES)[0] == 403


def test_keys_of_the_instance(local):
    local.admin("POST", "metadata", {"role": "my-role", "lifetime_s": 3600})
    keys = json.loads(see(local, ROLES + "my-role")[1])
    assert (keys["Code"], keys["Type"]) == ("Success", "AWS-HMAC")
    me = with_keys(local, "sts", keys).get_caller_identity()
    assert me["Arn"] == "arn:aws:sts::000000000000:assumed-role/my-role/i-0123456789abcdef0"
    assert json.loads(see(local, ROLES + "my-role")[1])["AccessKeyId"] == keys["AccessKeyId"]
    local.admin("POST", "metadata", {})  # looking changes nothing
    assert json.loads(see(local, ROLES + "my-role")[1])["AccessKeyId"] == keys["AccessKeyId"]
    local.advance(3600 - 290)  # five minutes ahead there are new ones; the old ones still hold
    new = json.loads(see(local, ROLES + "my-role")[1])
    assert new["AccessKeyId"] != keys["AccessKeyId"]
    with_keys(local, "kinesis", keys).list_streams()
    local.advance(300)
    assert refused(with_keys(local, "kinesis", keys).list_streams)[0] == "ExpiredTokenException"
    with_keys(local, "kinesis", new).list_streams()
    local.admin("POST", "metadata", {"role": None})
    assert see(local, ROLES)[0] == 404 and see(local, ROLES + "my-role")[0] == 404
    assert "iam/" not in see(local, "/latest/meta-data/")[1]


def test_boto3_takes_the_keys_of_the_instance(local):
    fetcher = InstanceMetadataFetcher(timeout=30, num_attempts=1, base_url=local.endpoint + "/")
    keys = fetcher.retrieve_iam_role_credentials()
    assert keys["role_name"] == "weir-local"
    client = local.client("kinesis", ONCE, aws_access_key_id=keys["access_key"],
                          aws_secret_access_key=keys["secret_key"], aws_session_token=keys["token"])
    assert client.list_streams()["StreamNames"] == ["one"]


def test_boto3_falls_back_to_version_1(local):
    """Not weir: it refuses version 1. But what an old instance answers is what the fetcher expects."""
    local.admin("POST", "metadata", {"v1": True})
    local.faults([{"service": "metadata", "operation": "Token", "status": 404}])
    fetcher = InstanceMetadataFetcher(timeout=30, num_attempts=1, base_url=local.endpoint + "/")
    keys = fetcher.retrieve_iam_role_credentials()
    with_keys(local, "kinesis", {"AccessKeyId": keys["access_key"], "SecretAccessKey": keys["secret_key"],
                                 "Token": keys["token"]}).list_streams()
    local.admin("POST", "metadata", {"v1": False})
    assert fetcher.retrieve_iam_role_credentials() == {}


def test_the_instance_misbehaves(local):
    local.faults([{"service": "metadata", "operation": "Token", "status": 503, "count": 1},
                  {"service": "metadata", "operation": "RoleCredentials", "cut": {"at": 10}, "count": 1}])
    assert http(local, "PUT", TOKEN, {TTL: "60"})[0] == 503
    with pytest.raises(Exception):
        see(local, ROLES + "weir-local")
    local.admin("DELETE", "faults")
    whole = see(local, ROLES + "weir-local")[1]
    local.admin("POST", "metadata", {"answer": "cut"})
    with pytest.raises(ValueError):
        json.loads(see(local, ROLES + "weir-local")[1])
    local.admin("POST", "metadata", {"answer": "html"})
    assert "<html>" in see(local, ROLES + "weir-local")[1]
    local.admin("POST", "metadata", {"answer": "empty"})
    assert see(local, ROLES + "weir-local") == (200, "")
    local.admin("POST", "metadata", {"answer": "refused"})
    assert json.loads(see(local, ROLES + "weir-local")[1])["Code"] == "AssumeRoleUnauthorizedAccess"
    local.admin("POST", "metadata", {"answer": "whole", "line_ends": True})
    assert "\r\n" in json.loads(see(local, ROLES + "weir-local", session_token(local).split("\r")[0])[1])["Token"]
    local.admin("POST", "metadata", {"line_ends": False, "stale_s": 60})
    keys = json.loads(see(local, ROLES + "weir-local")[1])
    told = datetime.datetime.fromisoformat(keys["Expiration"].replace("Z", "+00:00")).timestamp()
    assert told < time.time()
    with_keys(local, "kinesis", keys).list_streams()  # they are good all the same
    local.admin("POST", "metadata", {"hop_limit_reached": True})
    request = urllib.request.Request(local.endpoint + TOKEN, method="PUT", headers={TTL: "60"})
    with pytest.raises(OSError):
        urllib.request.urlopen(request, timeout=0.2)
    assert len(whole) > 400


# ---- containers ----

def test_keys_of_containers(local):
    status, headers, body = http(local, "GET", "/v2/credentials/0b2f-1")
    keys = json.loads(body)
    assert status == 200 and headers["content-type"] == "application/json"
    assert keys["RoleArn"] == "arn:aws:iam::000000000000:role/weir-local"
    assert with_keys(local, "sts", keys).get_caller_identity()["Arn"].startswith(
        "arn:aws:sts::000000000000:assumed-role/weir-local/")
    assert http(local, "GET", "/v2/credentials/")[0] == 400
    assert http(local, "PUT", "/v2/credentials/x")[0] == 405
    local.admin("POST", "metadata", {"container_token": "Basic abc", "pod_token": "pod.token.x"})
    for headers in {}, {"Authorization": "wrong"}:
        status, _, body = http(local, "GET", "/v2/credentials/x", headers)
        assert status == 403 and json.loads(body)["code"] == "AccessDenied"
    assert http(local, "GET", "/v2/credentials/x", {"Authorization": "Basic abc"})[0] == 200
    assert json.loads(http(local, "GET", "/v1/credentials")[2])["code"] == "InvalidRequestException"
    assert http(local, "GET", "/v1/credentials", {"Authorization": "other"})[0] == 400
    pod = json.loads(http(local, "GET", "/v1/credentials", {"Authorization": "pod.token.x"})[2])
    assert pod["AccountId"] == "000000000000" and pod["AccessKeyId"] != keys["AccessKeyId"]
    with_keys(local, "kinesis", pod).list_streams()
    local.admin("POST", "metadata", {"role": None})
    assert json.loads(http(local, "GET", "/v1/credentials", {"Authorization": "pod.token.x"})[2])["code"] == \
        "ResourceNotFoundException"
    local.faults([{"service": "metadata", "operation": "PodCredentials", "status": 429,
                   "exception": "ThrottlingException"}])
    status, _, body = http(local, "GET", "/v1/credentials", {"Authorization": "pod.token.x"})
    assert (status, json.loads(body)["code"]) == (429, "ThrottlingException")


def test_boto3_takes_the_keys_of_a_container(local):
    local.admin("POST", "metadata", {"container_token": "right"})
    answer = ContainerMetadataFetcher().retrieve_full_uri(f"{local.endpoint}/v2/credentials/task",
                                                          {"Authorization": "right"})
    with_keys(local, "kinesis", answer).list_streams()


def test_signed_requests_are_never_the_metadata_services(local):
    """S3 may have a bucket called "latest"; whoever signs means S3."""
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=local/20260115/us-east-1/s3/aws4_request, "
                               "SignedHeaders=host, Signature=00"}
    for path in "/latest/meta-data/x", "/latest/api/token", "/v2/credentials/x":
        http(local, "GET", path, signed)
        http(local, "GET", path + "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00")
    http(local, "GET", "/latest/meta-datas/x")
    http(local, "GET", "/latest")
    s3 = local.client("s3", ONCE)
    s3.create_bucket(Bucket="latest")
    s3.put_object(Bucket="latest", Key="meta-data/x", Body=b"an object")
    assert s3.get_object(Bucket="latest", Key="meta-data/x")["Body"].read() == b"an object"
    for version in "s3v4", "s3":
        signer = boto3.client("s3", endpoint_url=local.endpoint, region_name="us-east-1", aws_access_key_id="local",
                              aws_secret_access_key="local-secret", config=Config(signature_version=version))
        url = signer.generate_presigned_url("get_object", Params={"Bucket": "latest", "Key": "meta-data/x"})
        answer = http(local, "GET", url[len(local.endpoint):])
        assert answer[2] == "an object" if version == "s3v4" else "Unauthorized" not in answer[2], answer
    assert not [name for name in local.admin("GET", "stats")["operations"] if name.startswith("metadata.")]
