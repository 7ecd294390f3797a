"""weir-local's Secrets Manager, as boto3 sees it."""

import stat
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from local import ONCE, LocalAws

MISSING = "Secrets Manager can't find the specified secret."


@pytest.fixture
def local(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify") as endpoint:
        yield endpoint


@pytest.fixture
def sm(local):
    return local.client("secretsmanager", ONCE)


def refused(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    answer = error.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def token():
    return str(uuid.uuid4())


def test_a_text(sm):
    made = sm.create_secret(Name="app/db", SecretString='{"user": "ü", "password": "p\\"w"}', Description="the db",
                            Tags=[{"Key": "team", "Value": "data"}])
    assert made["ARN"].startswith("arn:aws:secretsmanager:us-east-1:000000000000:secret:app/db-")
    assert len(made["ARN"].rsplit("-", 1)[1]) == 6 and made["Name"] == "app/db"
    for name in "app/db", made["ARN"], made["ARN"][:-7]:
        got = sm.get_secret_value(SecretId=name)
        assert got["SecretString"] == '{"user": "ü", "password": "p\\"w"}' and "SecretBinary" not in got
        assert (got["ARN"], got["Name"], got["VersionId"]) == (made["ARN"], "app/db", made["VersionId"])
        assert got["VersionStages"] == ["AWSCURRENT"] and abs(got["CreatedDate"].timestamp() - time.time()) < 120
    for name in "app/d", made["ARN"][:-1], made["ARN"][:-8], made["ARN"].replace("us-east-1", "eu-west-1"), "arn:aws":
        assert refused(sm.get_secret_value, SecretId=name) == ("ResourceNotFoundException", MISSING, 400), name


def test_bytes(sm):
    value = bytes(range(256)) * 4
    sm.create_secret(Name="bin", SecretBinary=value)
    got = sm.get_secret_value(SecretId="bin")
    assert got["SecretBinary"] == value and "SecretString" not in got


def test_versions(sm):
    first = sm.create_secret(Name="v", SecretString="one")["VersionId"]
    second = sm.put_secret_value(SecretId="v", SecretString="two")
    assert second["VersionStages"] == ["AWSCURRENT"]
    third = sm.update_secret(SecretId="v", SecretString="three", Description="now three")["VersionId"]
    staged = sm.put_secret_value(SecretId="v", SecretString="next", VersionStages=["AWSPENDING", "mine"])
    assert sm.get_secret_value(SecretId="v")["SecretString"] == "three"
    assert sm.get_secret_value(SecretId="v", VersionStage="AWSPREVIOUS")["SecretString"] == "two"
    assert sm.get_secret_value(SecretId="v", VersionStage="AWSPENDING")["VersionId"] == staged["VersionId"]
    assert sm.get_secret_value(SecretId="v", VersionId=first)["SecretString"] == "one"
    assert sm.get_secret_value(SecretId="v", VersionId=third, VersionStage="AWSCURRENT")["SecretString"] == "three"
    assert refused(sm.get_secret_value, SecretId="v", VersionId=first, VersionStage="AWSCURRENT")[:2] == (
        "InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId.")
    assert refused(sm.get_secret_value, SecretId="v", VersionStage="nope")[:2] == (
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret value for staging label: nope")
    missing = token()
    assert refused(sm.get_secret_value, SecretId="v", VersionId=missing)[1] == (
        f"Secrets Manager can't find the specified secret value for VersionId: {missing}")
    described = sm.describe_secret(SecretId="v")
    assert described["Description"] == "now three" and described["VersionIdsToStages"] == {
        second["VersionId"]: ["AWSPREVIOUS"], third: ["AWSCURRENT"], staged["VersionId"]: ["AWSPENDING", "mine"]}
    listed = sm.list_secret_version_ids(SecretId="v")["Versions"]
    assert [v["VersionId"] for v in listed] == [second["VersionId"], third, staged["VersionId"]]
    listed = sm.list_secret_version_ids(SecretId="v", IncludeDeprecated=True, MaxResults=3)
    assert [v["VersionId"] for v in listed["Versions"]] == [first, second["VersionId"], third]
    rest = sm.list_secret_version_ids(SecretId="v", IncludeDeprecated=True, NextToken=listed["NextToken"])
    assert [v["VersionId"] for v in rest["Versions"]] == [staged["VersionId"]] and "NextToken" not in rest


def test_labels_are_moved(sm):
    first = sm.create_secret(Name="v", SecretString="one")["VersionId"]
    second = sm.put_secret_value(SecretId="v", SecretString="two", VersionStages=["AWSPENDING"])["VersionId"]
    move = sm.update_secret_version_stage
    assert refused(move, SecretId="v", VersionStage="AWSCURRENT", MoveToVersionId=second)[0] == \
        "InvalidParameterException"
    move(SecretId="v", VersionStage="AWSCURRENT", MoveToVersionId=second, RemoveFromVersionId=first)
    assert sm.get_secret_value(SecretId="v")["SecretString"] == "two"
    assert sm.get_secret_value(SecretId="v", VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    move(SecretId="v", VersionStage="AWSPENDING", RemoveFromVersionId=second)
    assert sm.get_secret_value(SecretId="v")["VersionStages"] == ["AWSCURRENT"]
    assert refused(move, SecretId="v", VersionStage="AWSCURRENT", RemoveFromVersionId=second)[0] == \
        "InvalidParameterException"


def test_the_same_request_twice(sm):
    one = token()
    made = sm.create_secret(Name="t", SecretString="x", ClientRequestToken=one)
    assert made["VersionId"] == one
    assert sm.create_secret(Name="t", SecretString="x", ClientRequestToken=one)["VersionId"] == one
    assert refused(sm.create_secret, Name="t", SecretString="y")[:2] == (
        "ResourceExistsException", "The operation failed because the secret t already exists.")
    assert sm.put_secret_value(SecretId="t", SecretString="x", ClientRequestToken=one)["VersionId"] == one
    said = refused(sm.put_secret_value, SecretId="t", SecretString="hidden", ClientRequestToken=one)
    assert said[0] == "ResourceExistsException" and "hidden" not in said[1]


def test_deletion_and_its_window(local, sm):
    sm.create_secret(Name="d", SecretString="x")
    gone = sm.delete_secret(SecretId="d", RecoveryWindowInDays=7)
    assert abs(gone["DeletionDate"].timestamp() - local.now() - 7 * 86400) < 120
    marked = ("InvalidRequestException",
              "You can't perform this operation on the secret because it was marked for deletion.", 400)
    assert refused(sm.get_secret_value, SecretId="d") == marked
    assert refused(sm.put_secret_value, SecretId="d", SecretString="y") == marked
    assert refused(sm.update_secret, SecretId="d", SecretString="y") == marked
    assert refused(sm.delete_secret, SecretId="d") == marked
    assert refused(sm.create_secret, Name="d", SecretString="y")[:2] == (
        "InvalidRequestException",
        "You can't create this secret because a secret with this name is already scheduled for deletion.")
    assert sm.describe_secret(SecretId="d")["DeletedDate"] == gone["DeletionDate"]
    assert sm.list_secrets()["SecretList"] == []
    assert [s["Name"] for s in sm.list_secrets(IncludePlannedDeletion=True)["SecretList"]] == ["d"]
    sm.restore_secret(SecretId="d")
    assert sm.get_secret_value(SecretId="d")["SecretString"] == "x"
    sm.delete_secret(SecretId="d")
    local.advance(30 * 86400)
    assert refused(sm.describe_secret, SecretId="d")[:2] == ("ResourceNotFoundException", MISSING)
    sm.create_secret(Name="d", SecretString="again")
    sm.delete_secret(SecretId="d", ForceDeleteWithoutRecovery=True)
    assert refused(sm.restore_secret, SecretId="d")[0] == "ResourceNotFoundException"
    sm.delete_secret(SecretId="d", ForceDeleteWithoutRecovery=True)  # forcing what is not there is no error
    for arguments in {"RecoveryWindowInDays": 6}, {"RecoveryWindowInDays": 31}, \
            {"RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": True}:
        assert refused(sm.delete_secret, SecretId="d", **arguments)[0] == "InvalidParameterException"


def test_lists(sm):
    for i in range(25):
        sm.create_secret(Name=f"{'even' if i % 2 == 0 else 'odd'}/{i:02}", SecretString=str(i),
                         Description=f"Number {i}", Tags=[{"Key": "n", "Value": str(i % 5)}])
    pages = sm.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 10})
    names = [[s["Name"] for s in page["SecretList"]] for page in pages]
    assert [len(page) for page in names] == [10, 10, 5] and len(set(sum(names, []))) == 25

    def found(key, *values, **more):
        return [s["Name"] for s in sm.list_secrets(Filters=[{"Key": key, "Values": list(values)}], **more)["SecretList"]]

    assert len(found("name", "even/")) == 13 and len(found("name", "!even/")) == 12
    assert found("tag-value", "3", SortBy="name") == ["even/08", "even/18", "odd/03", "odd/13", "odd/23"]
    assert found("name", "odd/0", SortBy="name", SortOrder="desc") == ["odd/09", "odd/07", "odd/05", "odd/03", "odd/01"]
    assert found("description", "nUMBER") and found("all", "number") and found("tag-key", "n")
    assert found("all", "13") == ["odd/13"] and found("owning-service", "x") == []
    assert refused(sm.list_secrets, NextToken="0" * 24)[0] == "InvalidNextTokenException"
    values, more = [], {}
    while True:
        page = sm.batch_get_secret_value(Filters=[{"Key": "name", "Values": ["even/"]}], MaxResults=5, **more)
        values += [int(s["SecretString"]) for s in page["SecretValues"]]
        more = {"NextToken": page.get("NextToken")}
        if not more["NextToken"]:
            break
    assert sorted(values) == list(range(0, 25, 2))


def test_many_at_once(sm):
    sm.create_secret(Name="a", SecretString="1")
    sm.create_secret(Name="b", SecretBinary=b"2")
    sm.create_secret(Name="gone", SecretString="3")
    sm.create_secret(Name="empty")
    sm.delete_secret(SecretId="gone")
    answer = sm.batch_get_secret_value(SecretIdList=["a", "b", "gone", "none", "empty"])
    assert [s["Name"] for s in answer["SecretValues"]] == ["a", "b"]
    assert answer["SecretValues"][1]["SecretBinary"] == b"2"
    assert [(e["SecretId"], e["ErrorCode"]) for e in answer["Errors"]] == [
        ("gone", "InvalidRequestException"), ("none", "ResourceNotFoundException"),
        ("empty", "ResourceNotFoundException")]
    assert refused(sm.batch_get_secret_value)[0] == "InvalidParameterException"
    assert refused(sm.batch_get_secret_value, SecretIdList=["a"], MaxResults=3)[0] == "InvalidParameterException"


def test_limits(local, sm):
    sm.create_secret(Name="x" * 512, SecretString="y" * 65536)
    loose = local.client("secretsmanager", ONCE, checked=False)
    for arguments in {"Name": "x" * 513}, {"Name": ""}, {"Name": "a b"}, {"Name": "ä"}, \
            {"Name": "n", "SecretString": "y" * 65537}, {"Name": "n", "SecretString": ""}, \
            {"Name": "n", "ClientRequestToken": "short"}, {"Name": "n", "ClientRequestToken": '"' * 36}, \
            {"Name": "n", "Description": "x" * 2049}, {"Name": "n", "Tags": [{"Key": "", "Value": ""}]}:
        said = refused(loose.create_secret, **arguments)
        assert said[0] == "ValidationException" and "yyyy" not in said[1], arguments
    tags = [{"Key": f"k{i}", "Value": ""} for i in range(51)]
    assert refused(loose.create_secret, Name="n", Tags=tags)[0] == "InvalidParameterException"
    assert refused(sm.describe_secret, SecretId="n")[0] == "ResourceNotFoundException"  # nothing half made
    assert refused(sm.put_secret_value, SecretId="x" * 512)[0] == "InvalidRequestException"
    assert refused(sm.create_secret, Name="n", SecretString="a", SecretBinary=b"b")[0] == "InvalidParameterException"
    assert refused(loose.get_secret_value)[0] == "ValidationException"
    sm.create_secret(Name="n", Tags=tags[:50])
    sm.untag_resource(SecretId="n", TagKeys=["k0", "k1"])
    sm.tag_resource(SecretId="n", Tags=[{"Key": "k2", "Value": "new"}])
    assert len(sm.describe_secret(SecretId="n")["Tags"]) == 48
    for i in range(120):  # deprecated versions go, the labelled ones stay
        sm.put_secret_value(SecretId="n", SecretString=str(i))
    versions = [v for page in sm.get_paginator("list_secret_version_ids").paginate(SecretId="n", IncludeDeprecated=True)
                for v in page["Versions"]] if sm.can_paginate("list_secret_version_ids") else \
        sm.list_secret_version_ids(SecretId="n", IncludeDeprecated=True)["Versions"]
    assert len(versions) == 100 and sm.get_secret_value(SecretId="n")["SecretString"] == "119"
    assert sm.get_secret_value(SecretId="n", VersionStage="AWSPREVIOUS")["SecretString"] == "118"


def test_faults(local, sm):
    sm.create_secret(Name="f", SecretString="x")
    local.faults([{"service": "secretsmanager", "operation": "GetSecretValue", "count": 1,
                   "exception": "DecryptionFailure", "message": "Secrets Manager can't decrypt the protected secret "
                   "text using the provided KMS key."}])
    said = refused(sm.get_secret_value, SecretId="f")
    assert said[0] == "DecryptionFailure" and "KMS" in said[1]
    assert sm.get_secret_value(SecretId="f")["SecretString"] == "x"
    assert local.admin("GET", "stats")["operations"]["secretsmanager.GetSecretValue"]["errors"] == 1


def test_secrets_are_kept_and_never_printed(tmp_path):
    folder = tmp_path / "state"
    for round_ in range(3):
        here = tmp_path / str(round_)
        here.mkdir()
        with LocalAws(here, "--auth", "verify", "--dir", folder) as local:
            sm = local.client("secretsmanager", ONCE)
            if round_ == 0:
                made = sm.create_secret(Name="k", SecretString="first-hidden-value", Description="d", KmsKeyId="key",
                                        Tags=[{"Key": "a", "Value": "b"}])
                sm.put_secret_value(SecretId="k", SecretBinary=b"\0second-hidden-value")
                sm.create_secret(Name="marked", SecretString="x")
                sm.delete_secret(SecretId="marked", RecoveryWindowInDays=7)
                before = sm.describe_secret(SecretId="k"), sm.describe_secret(SecretId="marked")
            else:
                assert sm.get_secret_value(SecretId="k")["SecretBinary"] == b"\0second-hidden-value"
                previous = sm.get_secret_value(SecretId="k", VersionStage="AWSPREVIOUS")
                assert (previous["SecretString"], previous["VersionId"]) == ("first-hidden-value", made["VersionId"])
                after = sm.describe_secret(SecretId="k"), sm.describe_secret(SecretId="marked")
                for a, b in zip(before, after):
                    for part in "ARN", "Name", "CreatedDate", "Tags", "Description", "KmsKeyId", "DeletedDate", \
                            "VersionIdsToStages":
                        assert a.get(part) == b.get(part), part
        assert b"hidden" not in local.log_file.read_bytes()
    state = folder / "secretsmanager.state"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    whole = state.read_bytes()
    damaged = [whole[:cut] for cut in range(0, len(whole), 73)]
    damaged.append(whole.replace(b"second-hidden", b"second-Hidden"))
    for text in damaged:  # refused, and nothing is read beyond it
        state.write_bytes(text)
        import subprocess
        from local import PROGRAM
        ended = subprocess.run([PROGRAM, "--dir", folder], capture_output=True, text=True, timeout=60,
                               stdin=subprocess.DEVNULL)
        assert ended.returncode == 1 and "secretsmanager" in ended.stderr and "hidden" not in ended.stderr
