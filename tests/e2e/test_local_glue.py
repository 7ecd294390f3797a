"""weir-local's Glue Schema Registry, as boto3 and a client library of another hand see it."""

import datetime
import json
import uuid

import jsonpatch
import pytest
from aws_schema_registry import KafkaDeserializer, KafkaSerializer, SchemaRegistryClient
from aws_schema_registry.avro import AvroSchema
from botocore.exceptions import ClientError

from local import ONCE, LocalAws, code, refused
from processes import wait_for

USER = '{"type": "record", "name": "User", "fields": [{"name": "name", "type": "string"}]}'
USER_2 = ('{"type": "record", "name": "User", "fields": [{"name": "name", "type": "string"}, '
          '{"name": "age", "type": ["null", "int"], "default": null}]}')


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    with LocalAws(tmp_path_factory.mktemp("glue"), "--auth", "verify") as local:
        yield local


@pytest.fixture
def glue(endpoint):
    return endpoint.client("glue", retries=ONCE)


@pytest.fixture
def place(glue):
    """A registry of the test's own."""
    name = f"registry-{uuid.uuid4().hex[:12]}"
    glue.create_registry(RegistryName=name)
    return name


@pytest.fixture
def settings(endpoint):
    yield lambda **values: endpoint.admin("POST", "glue", values)
    endpoint.admin("POST", "glue", {"pending_polls": 0, "outcome": "AVAILABLE"})


def create(glue, place, name="orders", definition=USER, data_format="AVRO", **more):
    return glue.create_schema(RegistryId={"RegistryName": place}, SchemaName=name, DataFormat=data_format,
                              SchemaDefinition=definition, **{"Compatibility": "BACKWARD", **more})


def by_name(place, name="orders"):
    return {"RegistryName": place, "SchemaName": name}


def number(n):
    return {"VersionNumber": n}


def avro(*fields):
    return json.dumps({"type": "record", "name": "R",
                       "fields": [{"name": f, "type": "string"} for f in fields]})


# ---- registries ----

def test_a_registry_is_made_described_changed_and_deleted(endpoint, glue):
    name = "a-registry_$1#.x"
    made = glue.create_registry(RegistryName=name, Description="zwölf\nlines", Tags={"team": "a", 'q"uote': "\\"})
    arn = f"arn:aws:glue:us-east-1:000000000000:registry/{name}"
    assert (made["RegistryName"], made["RegistryArn"], made["Description"]) == (name, arn, "zwölf\nlines")
    assert made["Tags"] == {"team": "a", 'q"uote': "\\"}
    for by in ({"RegistryName": name}, {"RegistryArn": arn}):
        got = glue.get_registry(RegistryId=by)
        assert (got["RegistryName"], got["RegistryArn"], got["Status"]) == (name, arn, "AVAILABLE")
    created = datetime.datetime.fromisoformat(got["CreatedTime"].replace("Z", "+00:00")).timestamp()
    assert abs(created - endpoint.now()) < 60 and got["UpdatedTime"] == got["CreatedTime"]
    endpoint.advance(2)
    glue.update_registry(RegistryId={"RegistryName": name}, Description="another")
    got = glue.get_registry(RegistryId={"RegistryName": name})
    assert got["Description"] == "another" and got["UpdatedTime"] > got["CreatedTime"]
    assert refused(glue.create_registry, RegistryName=name) == (
        "AlreadyExistsException", f"Registry already exists. RegistryName: {name}")

    create(glue, name)
    assert glue.delete_registry(RegistryId={"RegistryArn": arn})["Status"] == "DELETING"
    endpoint.advance(1)
    assert refused(glue.get_registry, RegistryId={"RegistryName": name}) == (
        "EntityNotFoundException", f"Registry is not found. RegistryName: {name}, RegistryArn: null")
    assert code(glue.get_schema, SchemaId=by_name(name)) == "EntityNotFoundException"
    glue.create_registry(RegistryName=name)


def test_deleting_takes_a_moment(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify") as local:
        c = local.client("glue", retries=ONCE)
        c.create_registry(RegistryName="r")
        create(c, "r")
        c.register_schema_version(SchemaId=by_name("r"), SchemaDefinition=USER_2)
        c.delete_schema_versions(SchemaId=by_name("r"), Versions="2")
        local.advance(1)
        create(c, "r", name="other")
        c.delete_schema(SchemaId=by_name("r", "other"))
        c.delete_registry(RegistryId={"RegistryName": "r"})
        # Whether it is still there depends on the machine; that it goes by itself does not.
        wait_for(lambda: not c.list_registries()["Registries"], 60, "the registry is gone", interval=0.05)
        assert local.admin("POST", "glue", {}) == {"pending_polls": 0, "outcome": "AVAILABLE",
                                                   "registries": 0, "versions": 0}


def test_names_and_descriptions_are_checked(glue, place):
    invalid = "InvalidInputException"
    for name in ("sp ace", "sl/ash", "ümlaut", "a:b"):
        assert refused(glue.create_registry, RegistryName=name) == (
            invalid, "The parameter value contains one or more characters that are not valid. "
                     "Parameter Name: registryName")
        assert code(create, glue=glue, place=place, name=name) == invalid
    assert refused(glue.create_registry, RegistryName="x" * 256) == (
        invalid, "The resource name contains too many or too few characters. Parameter Name: registryName")
    glue.create_registry(RegistryName="x" * 255)
    assert code(create, glue=glue, place=place, name="n" * 256) == invalid
    create(glue, place, name="n" * 255)
    assert code(glue.create_registry, RegistryName="d", Description="d" * 2049) == invalid
    assert code(glue.create_registry, RegistryName="d", Description="nul\x00") == invalid
    glue.create_registry(RegistryName="d", Description="日" * 2048)
    assert code(glue.get_registry, RegistryId={}) == invalid
    assert code(glue.get_registry, RegistryId={"RegistryName": "d", "RegistryArn": "arn:aws:glue:x"}) == invalid
    assert code(glue.get_registry, RegistryId={"RegistryArn": "nonsense-arn"}) == invalid
    assert code(glue.get_registry,
                RegistryId={"RegistryArn": "arn:aws:glue:us-east-1:000000000000:registry/no"}
                ) == "EntityNotFoundException"


def test_the_number_of_registries_is_limited(tmp_path):
    with LocalAws(tmp_path) as local:
        c = local.client("glue", retries=ONCE)
        for i in range(100):
            c.create_registry(RegistryName=f"r{i}")
        assert code(c.create_registry, RegistryName="one-more") == "ResourceNumberLimitExceededException"
        # The default registry is the service's own and comes into being nevertheless.
        c.create_schema(SchemaName="s", DataFormat="AVRO", Compatibility="NONE", SchemaDefinition=USER)
        assert pages(c.list_registries, "Registries", "RegistryName", MaxResults=7) == sorted([f"r{i}" for i in range(100)] + ["default-registry"])


def pages(call, member, name, **arguments):
    """All entries by way of NextToken; each page is full but the last."""
    found, token = [], {}
    while True:
        answer = call(**arguments, **token)
        found += [entry[name] for entry in answer[member]]
        if "NextToken" not in answer:
            return found
        assert len(answer[member]) == arguments["MaxResults"]
        token = {"NextToken": answer["NextToken"]}


# ---- schemas ----

def test_a_schema_in_the_default_registry(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify") as local:
        c = local.client("glue", retries=ONCE)
        assert c.list_registries()["Registries"] == []
        assert code(c.get_registry, RegistryId={"RegistryName": "default-registry"}) == "EntityNotFoundException"
        assert refused(c.get_schema_by_definition, SchemaId=by_name("default-registry"), SchemaDefinition=USER) == (
            "EntityNotFoundException", "Schema is not found. RegistryName: default-registry, "
                                       "SchemaName: orders, SchemaArn: null")
        made = c.create_schema(SchemaName="orders", DataFormat="AVRO", Compatibility="FULL",
                               SchemaDefinition=USER)
        assert made["RegistryName"] == "default-registry"
        assert c.get_registry(RegistryId={"RegistryName": "default-registry"})["Status"] == "AVAILABLE"
        assert c.get_schema(SchemaId={"SchemaName": "orders"})["SchemaArn"] == made["SchemaArn"]
        other = c.create_schema(RegistryId={"RegistryName": "default-registry"}, SchemaName="two",
                                DataFormat="JSON", SchemaDefinition="{}")
        assert other["RegistryArn"] == made["RegistryArn"]


def test_a_schema_is_made_and_described(endpoint, glue, place):
    made = create(glue, place, Compatibility="FULL_ALL", Description="of orders", Tags={"k": "v"})
    arn = f"arn:aws:glue:us-east-1:000000000000:schema/{place}/orders"
    assert uuid.UUID(made["SchemaVersionId"])
    expected = {"RegistryName": place, "SchemaName": "orders", "SchemaArn": arn, "Description": "of orders",
                "RegistryArn": f"arn:aws:glue:us-east-1:000000000000:registry/{place}",
                "DataFormat": "AVRO", "Compatibility": "FULL_ALL", "SchemaCheckpoint": 1,
                "LatestSchemaVersion": 1, "NextSchemaVersion": 2, "SchemaStatus": "AVAILABLE"}
    assert expected.items() <= made.items()
    assert made["Tags"] == {"k": "v"} and made["SchemaVersionStatus"] == "AVAILABLE"
    for by in (by_name(place), {"SchemaArn": arn}):
        assert expected.items() <= glue.get_schema(SchemaId=by).items()
    assert refused(create, glue=glue, place=place) == (
        "AlreadyExistsException", f"Schema already exists. RegistryName: {place}, SchemaName: orders")
    assert code(create, glue=glue, place="no-such-registry") == "EntityNotFoundException"

    bare = glue.create_schema(RegistryId={"RegistryName": place}, SchemaName="bare", DataFormat="PROTOBUF",
                              Compatibility="NONE")
    assert "SchemaVersionId" not in bare and "LatestSchemaVersion" not in bare
    assert bare["NextSchemaVersion"] == 1
    assert code(glue.get_schema_version, SchemaId=by_name(place, "bare"),
                SchemaVersionNumber={"LatestVersion": True}) == "EntityNotFoundException"
    glue.delete_schema(SchemaId=by_name(place))
    endpoint.advance(1)
    assert code(glue.get_schema, SchemaId=by_name(place)) == "EntityNotFoundException"
    assert code(glue.get_schema_version, SchemaVersionId=made["SchemaVersionId"]) == "EntityNotFoundException"


def test_how_a_schema_is_named(glue, place):
    arn = create(glue, place)["SchemaArn"]
    invalid = "InvalidInputException"
    assert refused(glue.get_schema, SchemaId={"SchemaArn": arn, "SchemaName": "orders"}) == (
        invalid, "One of (registryName and schemaName) or schemaArn has to be provided, both cannot be provided.")
    assert refused(glue.get_schema, SchemaId={"RegistryName": place}) == (
        invalid, "At least one of (registryName and schemaName) or schemaArn has to be provided.")
    assert code(glue.get_schema, SchemaId={"SchemaArn": "orders"}) == invalid
    assert refused(glue.get_schema, SchemaId={"SchemaArn": arn + "x"}) == (
        "EntityNotFoundException",
        f"Schema is not found. RegistryName: null, SchemaName: null, SchemaArn: {arn}x")
    for field, value in (("DataFormat", "XML"), ("Compatibility", "SOMETIMES")):
        assert code(create, glue=glue, place=place, name="x",
                    **{"data_format" if field == "DataFormat" else field: value}) == invalid


def test_schemas_are_listed_by_pages(endpoint, glue, place):
    names = [f"s-{i:02}" for i in range(25)]
    for name in reversed(names):
        create(glue, place, name=name, Description=f"of {name}")
    other = f"{place}-2"
    glue.create_registry(RegistryName=other)
    create(glue, other, name="elsewhere")
    for size in (1, 5, 10, 100):
        assert pages(glue.list_schemas, "Schemas", "SchemaName", MaxResults=size,
                     RegistryId={"RegistryName": place}) == names
    first = glue.list_schemas(RegistryId={"RegistryName": place}, MaxResults=1)
    assert first["Schemas"][0].keys() >= {"SchemaArn", "Description", "SchemaStatus", "CreatedTime", "UpdatedTime"}
    everywhere = pages(glue.list_schemas, "Schemas", "SchemaArn", MaxResults=10)
    assert {f"schema/{place}/s-00", f"schema/{other}/elsewhere"} <= {a.split(":")[-1] for a in everywhere}
    # A page begins behind the last entry given, also when that one is gone.
    glue.delete_schema(SchemaId=by_name(place, "s-00"))
    rest = glue.list_schemas(RegistryId={"RegistryName": place}, NextToken=first["NextToken"])
    assert [s["SchemaName"] for s in rest["Schemas"]] == names[1:]
    for token in ("AAAA", "no base64", first["NextToken"][:-4] + "AAAA"):
        assert code(glue.list_schemas, NextToken=token) == "InvalidInputException"
    assert code(glue.list_registries, NextToken=first["NextToken"]) == "InvalidInputException"
    for size in (0, 101):
        assert code(endpoint.client("glue", ONCE, checked=False).list_schemas, MaxResults=size) == "InvalidInputException"
    assert code(glue.list_schemas, RegistryId={"RegistryName": "none"}) == "EntityNotFoundException"


def test_a_schema_is_changed(endpoint, glue, place):
    create(glue, place)
    glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=USER_2)
    endpoint.advance(1)
    # What compatibility holds from then on needs a checkpoint.
    assert code(glue.update_schema, SchemaId=by_name(place), Compatibility="NONE") == "InvalidInputException"
    assert code(glue.update_schema, SchemaId=by_name(place)) == "InvalidInputException"
    glue.update_schema(SchemaId=by_name(place), Compatibility="NONE", SchemaVersionNumber=number(2))
    got = glue.get_schema(SchemaId=by_name(place))
    assert (got["Compatibility"], got["SchemaCheckpoint"]) == ("NONE", 2)
    glue.update_schema(SchemaId=by_name(place), SchemaVersionNumber=number(1))
    glue.update_schema(SchemaId=by_name(place), Description="new")
    got = glue.get_schema(SchemaId=by_name(place))
    assert (got["Compatibility"], got["SchemaCheckpoint"], got["Description"]) == ("NONE", 1, "new")
    assert got["UpdatedTime"] > got["CreatedTime"]
    assert code(glue.update_schema, SchemaId=by_name(place),
                SchemaVersionNumber=number(9)) == "EntityNotFoundException"


@pytest.mark.parametrize("mode", ["NONE", "DISABLED", "BACKWARD", "BACKWARD_ALL", "FORWARD", "FORWARD_ALL",
                                  "FULL", "FULL_ALL"])
def test_compatibility_is_kept(glue, place, mode):
    assert create(glue, place, Compatibility=mode)["Compatibility"] == mode
    assert glue.get_schema(SchemaId=by_name(place))["Compatibility"] == mode
    register = {"SchemaId": by_name(place), "SchemaDefinition": USER_2}
    if mode == "DISABLED":
        assert refused(glue.register_schema_version, **register) == (
            "InvalidInputException",
            "Compatibility DISABLED does not allow versioning. SchemaId: SchemaId(schemaArn="
            f"arn:aws:glue:us-east-1:000000000000:schema/{place}/orders, schemaName=orders, "
            f"registryName={place})")
        glue.update_schema(SchemaId=by_name(place), Compatibility="NONE", SchemaVersionNumber=number(1))
    assert glue.register_schema_version(**register)["VersionNumber"] == 2


def test_a_disabled_schema_takes_its_first_version(glue, place):
    glue.create_schema(RegistryId={"RegistryName": place}, SchemaName="orders", DataFormat="AVRO",
                       Compatibility="DISABLED")
    assert glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=USER)["VersionNumber"] == 1
    assert glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=USER)["VersionNumber"] == 1
    assert code(glue.register_schema_version, SchemaId=by_name(place),
                SchemaDefinition=USER_2) == "InvalidInputException"


# ---- versions ----

def test_versions_are_found_by_id_number_and_as_the_latest(glue, place):
    first = create(glue, place)
    second = glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=USER_2)
    assert (second["VersionNumber"], second["Status"]) == (2, "AVAILABLE")
    for arguments, definition, n, version_id in (
            ({"SchemaVersionId": first["SchemaVersionId"]}, USER, 1, first["SchemaVersionId"]),
            ({"SchemaVersionId": second["SchemaVersionId"]}, USER_2, 2, second["SchemaVersionId"]),
            ({"SchemaId": by_name(place), "SchemaVersionNumber": number(1)}, USER, 1, first["SchemaVersionId"]),
            ({"SchemaId": {"SchemaArn": first["SchemaArn"]}, "SchemaVersionNumber": {"LatestVersion": True}},
             USER_2, 2, second["SchemaVersionId"])):
        got = glue.get_schema_version(**arguments)
        assert (got["SchemaDefinition"], got["VersionNumber"], got["SchemaVersionId"]) == (
            definition, n, version_id)
        assert (got["DataFormat"], got["SchemaArn"], got["Status"]) == ("AVRO", first["SchemaArn"], "AVAILABLE")
        assert got["CreatedTime"].endswith("Z")
    listed = glue.list_schema_versions(SchemaId=by_name(place))["Schemas"]
    assert [(v["VersionNumber"], v["SchemaVersionId"], v["Status"], v["SchemaArn"]) for v in listed] == [
        (1, first["SchemaVersionId"], "AVAILABLE", first["SchemaArn"]),
        (2, second["SchemaVersionId"], "AVAILABLE", first["SchemaArn"])]


def test_what_names_no_version(glue, place):
    version_id = create(glue, place)["SchemaVersionId"]
    invalid, missing = "InvalidInputException", "EntityNotFoundException"
    stranger = str(uuid.uuid4())
    assert refused(glue.get_schema_version, SchemaVersionId=stranger) == (
        missing, f"Schema version is not found. SchemaVersionId: {stranger}")
    assert code(glue.get_schema_version, SchemaVersionId="X" * 36) == invalid
    assert refused(glue.get_schema_version, SchemaVersionId=version_id, SchemaId=by_name(place)) == (
        invalid, "No other input parameters can be specified when fetching by SchemaVersionId.")
    assert refused(glue.get_schema_version, SchemaId=by_name(place)) == (
        invalid, "One of version number (or) latest version is required.")
    assert refused(glue.get_schema_version, SchemaId=by_name(place),
                   SchemaVersionNumber={"VersionNumber": 1, "LatestVersion": True}) == (
        invalid, "Only one of VersionNumber or LatestVersion is required.")
    error, text = refused(glue.get_schema_version, SchemaId=by_name(place), SchemaVersionNumber=number(7))
    assert error == missing and text.startswith("Schema version is not found.") and "VersionNumber: 7" in text
    assert code(glue.get_schema_version, SchemaId=by_name(place), SchemaVersionNumber=number(100001)) == invalid
    assert code(glue.get_schema_version, SchemaId=by_name(place, "none"),
                SchemaVersionNumber=number(1)) == missing


def test_a_definition_is_found_whatever_its_white_space(glue, place):
    first = create(glue, place)
    spread = json.dumps(json.loads(USER), indent=8)
    dense = json.dumps(json.loads(USER), separators=(",", ":"))
    for text in (USER, spread, dense, "\r\n\t " + dense + " "):
        got = glue.get_schema_by_definition(SchemaId=by_name(place), SchemaDefinition=text)
        assert got["SchemaVersionId"] == first["SchemaVersionId"]
        assert (got["SchemaArn"], got["DataFormat"], got["Status"]) == (first["SchemaArn"], "AVRO", "AVAILABLE")
        again = glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=text)
        assert (again["SchemaVersionId"], again["VersionNumber"]) == (first["SchemaVersionId"], 1)
    # Spaces inside of a text count, and so does the order of members.
    reordered = json.dumps(dict(reversed(list(json.loads(USER).items()))))
    for text in (USER.replace('"User"', '"U ser"'), reordered, USER.replace("User", 'Us\\"  er')):
        error, message = refused(glue.get_schema_by_definition, SchemaId=by_name(place), SchemaDefinition=text)
        assert error == "EntityNotFoundException" and message.startswith("Schema version is not found.")
    assert glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=reordered)["VersionNumber"] == 2
    # The definition comes back as it was sent.
    assert glue.get_schema_version(SchemaVersionId=first["SchemaVersionId"])["SchemaDefinition"] == USER
    error, message = refused(glue.get_schema_by_definition, SchemaId=by_name(place, "none"), SchemaDefinition=USER)
    assert error == "EntityNotFoundException" and message.startswith("Schema is not found.")


def test_protocol_buffers_compare_by_tokens(glue, place):
    text = 'syntax = "proto3";\npackage a . b;\nmessage M {\n  string s = 1; // a comment\n}\n'
    first = create(glue, place, definition=text, data_format="PROTOBUF")["SchemaVersionId"]
    same = 'syntax="proto3";package a.b;/* another\n one */message M{string s=1;}'
    assert glue.get_schema_by_definition(SchemaId=by_name(place),
                                         SchemaDefinition=same)["SchemaVersionId"] == first
    for other in (same.replace("string s", "strings"), same.replace('"proto3"', '"proto 3"'),
                  same + "/* left open", same + "// end"):
        answer = glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=other)
        assert (answer["SchemaVersionId"] == first) == ("open" in other or "end" in other), other
    assert code(glue.register_schema_version, SchemaId=by_name(place),
                SchemaDefinition=" \n\t ") == "InvalidInputException"


def test_definitions_have_a_limit(glue, place):
    """170,000 characters, not bytes."""
    def sized(n, letter="x"):
        return json.dumps({"type": "string", "doc": letter * (n - len('{"type": "string", "doc": ""}'))},
                          ensure_ascii=False)
    for letter in "x日":
        assert len(sized(170000, letter)) == 170000
        answer = create(glue, place, name=f"large-{ord(letter)}", definition=sized(170000, letter))
        assert glue.get_schema_version(SchemaVersionId=answer["SchemaVersionId"])[
            "SchemaDefinition"] == sized(170000, letter)
        assert code(create, glue=glue, place=place, name="too-large",
                    definition=sized(170001, letter)) == "InvalidInputException"
    for call in (glue.register_schema_version, glue.get_schema_by_definition):
        assert code(call, SchemaId=by_name(place, "large-120"),
                    SchemaDefinition=sized(170001)) == "InvalidInputException"
    assert code(glue.get_schema, SchemaId=by_name(place, "too-large")) == "EntityNotFoundException"


def test_validity(glue, place):
    for data_format, text, valid in (("AVRO", USER, True), ("AVRO", '"string"', True), ("AVRO", "[]", True),
                                     ("AVRO", "12", False), ("AVRO", '{"a": }', False), ("AVRO", USER[:-1], False),
                                     ("JSON", '{"type": "object"}', True), ("JSON", "true", True),
                                     ("JSON", "[]", False), ("JSON", "{'a': 1}", False),
                                     ("PROTOBUF", 'syntax = "proto3";', True)):
        answer = glue.check_schema_version_validity(DataFormat=data_format, SchemaDefinition=text)
        assert answer["Valid"] == valid, text
        assert ("Error" in answer) == (not valid)
        if not valid:
            error, message = refused(create, glue=glue, place=place, name="bad", definition=text,
                                     data_format=data_format)
            assert error == "InvalidInputException"
            assert message == f"Schema definition of {data_format} data format is invalid: {answer['Error']}"
    assert "line 1, column 7" in glue.check_schema_version_validity(
        DataFormat="JSON", SchemaDefinition='{"a": }')["Error"]
    assert code(glue.get_schema, SchemaId=by_name(place, "bad")) == "EntityNotFoundException"
    assert code(glue.check_schema_version_validity, DataFormat="XML",
                SchemaDefinition="<a/>") == "InvalidInputException"


def test_versions_are_listed_by_pages_and_deleted(endpoint, glue, place):
    create(glue, place, definition=avro(), Compatibility="NONE")
    ids = {n: glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=avro(*"abcdefghijk"[:n]))
           ["SchemaVersionId"] for n in range(1, 12)}
    assert pages(glue.list_schema_versions, "Schemas", "VersionNumber", MaxResults=5,
                 SchemaId=by_name(place)) == list(range(1, 13))
    token = glue.list_schema_versions(SchemaId=by_name(place), MaxResults=9)["NextToken"]
    for versions in ("0", "1", "1-3", "x", "3-2", "2-", "-2", "2-100001", "+2", "2 -3"):
        assert code(glue.delete_schema_versions, SchemaId=by_name(place),
                    Versions=versions) == "InvalidInputException", versions
    glue.update_schema(SchemaId=by_name(place), SchemaVersionNumber=number(5))
    with pytest.raises(ClientError) as error:
        glue.delete_schema_versions(SchemaId=by_name(place), Versions="4-6")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert glue.delete_schema_versions(SchemaId=by_name(place), Versions="2-4")["SchemaVersionErrors"] == []
    errors = glue.delete_schema_versions(SchemaId=by_name(place), Versions="12-14")["SchemaVersionErrors"]
    assert [(e["VersionNumber"], e["ErrorDetails"]["ErrorCode"]) for e in errors] == [
        (13, "EntityNotFoundException"), (14, "EntityNotFoundException")]
    assert code(glue.get_schema_by_definition, SchemaId=by_name(place),
                SchemaDefinition=avro("a")) == "EntityNotFoundException"
    assert glue.get_schema(SchemaId=by_name(place))["LatestSchemaVersion"] == 11
    endpoint.advance(1)
    listed = glue.list_schema_versions(SchemaId=by_name(place))["Schemas"]
    assert [v["VersionNumber"] for v in listed] == [1, 5, 6, 7, 8, 9, 10, 11]
    assert [v["VersionNumber"] for v in glue.list_schema_versions(
        SchemaId=by_name(place), NextToken=token)["Schemas"]] == [10, 11]
    assert code(glue.get_schema_version, SchemaVersionId=ids[2]) == "EntityNotFoundException"
    # A number is never given twice.
    again = glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=avro("a"))
    assert again["VersionNumber"] == 13 and again["SchemaVersionId"] not in ids.values()


def test_differences_are_json_patches(glue, place):
    texts = [avro("a", "b", "c"), avro("a", "x", "c"), avro("n", "a", "b", "c"), avro("c"),
             '{"type": "record", "a~b/c": 1, "deep": {"list": [1, [2, {"x": null}]]}}',
             '{"type": "enum", "deep": {"list": [[2, {"x": "\\u0022"}], 3, 4]}}', '"string"', '["null", "int"]',
             '{"fields": [], "fields": [1]}', '{"fields": [2], "other": {}}']
    create(glue, place, definition=texts[0], Compatibility="NONE")
    for text in texts[1:]:
        glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=text)

    def diff(a, b):
        return json.loads(glue.get_schema_versions_diff(
            SchemaId=by_name(place), FirstSchemaVersionNumber=number(a + 1),
            SecondSchemaVersionNumber=number(b + 1), SchemaDiffType="SYNTAX_DIFF")["Diff"])

    for a, first in enumerate(texts):
        for b, second in enumerate(texts):
            patch = diff(a, b)
            assert jsonpatch.apply_patch(json.loads(first), patch) == json.loads(second), (first, second)
            assert (patch == []) == (a == b)
    assert diff(0, 2) == [{"op": "add", "path": "/fields/0", "value": {"name": "n", "type": "string"}}]
    assert diff(0, 1) == [{"op": "replace", "path": "/fields/1/name", "value": "x"}]
    latest = glue.get_schema_versions_diff(
        SchemaId=by_name(place), FirstSchemaVersionNumber=number(10),
        SecondSchemaVersionNumber={"LatestVersion": True}, SchemaDiffType="SYNTAX_DIFF")
    assert latest["Diff"] == "[]"
    arguments = {"SchemaId": by_name(place), "FirstSchemaVersionNumber": number(1),
                 "SecondSchemaVersionNumber": number(99)}
    assert code(glue.get_schema_versions_diff, SchemaDiffType="SYNTAX_DIFF", **arguments) == "EntityNotFoundException"
    assert code(glue.get_schema_versions_diff, SchemaDiffType="OTHER", **arguments) == "InvalidInputException"


def test_pending_for_some_polls_and_then_an_outcome(glue, place, settings):
    assert settings(pending_polls=3)["pending_polls"] == 3
    made = create(glue, place)
    assert made["SchemaVersionStatus"] == "PENDING"

    def ask(version_id):
        return glue.get_schema_version(SchemaVersionId=version_id)["Status"]

    assert [ask(made["SchemaVersionId"]) for _ in range(5)] == ["PENDING"] * 3 + ["AVAILABLE"] * 2
    settings(pending_polls=1, outcome="FAILURE")
    bad = glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=USER_2)
    assert bad["Status"] == "PENDING"
    listed = glue.list_schema_versions(SchemaId=by_name(place))["Schemas"]
    assert [v["Status"] for v in listed] == ["AVAILABLE", "PENDING"]
    assert glue.get_schema_by_definition(SchemaId=by_name(place), SchemaDefinition=USER_2)["Status"] == "PENDING"
    assert ask(bad["SchemaVersionId"]) == "FAILURE"
    again = glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=USER_2)
    assert (again["SchemaVersionId"], again["Status"]) == (bad["SchemaVersionId"], "FAILURE")
    settings(pending_polls=0)
    assert glue.register_schema_version(SchemaId=by_name(place), SchemaDefinition=avro("f"))["Status"] == "FAILURE"
    with pytest.raises(Exception, match="400"):
        settings(pending_polls=-1)
    with pytest.raises(Exception, match="400"):
        settings(outcome="PENDING")


# ---- metadata and tags ----

def test_metadata_is_put_queried_and_removed(endpoint, glue, place):
    version_id = create(glue, place)["SchemaVersionId"]
    pair = {"MetadataKey": "x-amz-meta-transport", "MetadataValue": "orders/topic@1"}
    answer = glue.put_schema_version_metadata(SchemaVersionId=version_id, MetadataKeyValue=pair)
    assert {**pair, "SchemaName": "orders", "RegistryName": place, "LatestVersion": True, "VersionNumber": 1,
            "SchemaVersionId": version_id}.items() <= answer.items()
    assert refused(glue.put_schema_version_metadata, SchemaVersionId=version_id, MetadataKeyValue=pair) == (
        "AlreadyExistsException", f"Resource already exist for schema version id: {version_id}, metadata key: "
                                  "x-amz-meta-transport, metadata value: orders/topic@1")
    endpoint.advance(1)
    latest = {"SchemaId": by_name(place), "SchemaVersionNumber": {"LatestVersion": True}}
    glue.put_schema_version_metadata(MetadataKeyValue={**pair, "MetadataValue": "second"}, **latest)
    for i in range(8):
        glue.put_schema_version_metadata(MetadataKeyValue={"MetadataKey": f"k{i}", "MetadataValue": "v"}, **latest)
    assert refused(glue.put_schema_version_metadata,
                   MetadataKeyValue={"MetadataKey": "eleventh", "MetadataValue": "v"}, **latest) == (
        "ResourceNumberLimitExceededException",
        "Your resource limits for Schema Version Metadata have been exceeded.")

    found = glue.query_schema_version_metadata(SchemaVersionId=version_id)
    assert found["SchemaVersionId"] == version_id
    assert sorted(found["MetadataInfoMap"]) == [f"k{i}" for i in range(8)] + ["x-amz-meta-transport"]
    transport = found["MetadataInfoMap"]["x-amz-meta-transport"]
    assert transport["MetadataValue"] == "second"
    assert [o["MetadataValue"] for o in transport["OtherMetadataValueList"]] == ["orders/topic@1"]
    assert transport["CreatedTime"] > transport["OtherMetadataValueList"][0]["CreatedTime"]
    keys, token = [], {}
    while True:
        page = glue.query_schema_version_metadata(SchemaVersionId=version_id, MaxResults=4, **token)
        keys += sorted(page["MetadataInfoMap"])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert keys == sorted(found["MetadataInfoMap"])
    only = glue.query_schema_version_metadata(MetadataList=[pair, {"MetadataKey": "k1", "MetadataValue": "v"}],
                                              **latest)["MetadataInfoMap"]
    assert {k: v["MetadataValue"] for k, v in only.items()} == {
        "x-amz-meta-transport": "orders/topic@1", "k1": "v"}

    assert glue.remove_schema_version_metadata(SchemaVersionId=version_id, MetadataKeyValue=pair)[
        "MetadataValue"] == "orders/topic@1"
    assert code(glue.remove_schema_version_metadata, SchemaVersionId=version_id,
                MetadataKeyValue=pair) == "EntityNotFoundException"
    transport = glue.query_schema_version_metadata(SchemaVersionId=version_id)["MetadataInfoMap"][
        "x-amz-meta-transport"]
    assert transport["MetadataValue"] == "second" and "OtherMetadataValueList" not in transport


def test_limits_of_metadata(glue, place):
    version_id = create(glue, place)["SchemaVersionId"]
    for key, value, fine in (("k" * 128, "v" * 256, True), ("k" * 129, "v", False), ("k", "v" * 257, False),
                             ("k k", "v", False), ("k", "v\n", False), ("a+-=._/@:;<,", "v", True)):
        arguments = {"SchemaVersionId": version_id,
                     "MetadataKeyValue": {"MetadataKey": key, "MetadataValue": value}}
        if fine:
            glue.put_schema_version_metadata(**arguments)
        else:
            assert code(glue.put_schema_version_metadata, **arguments) == "InvalidInputException"
    assert code(glue.query_schema_version_metadata, SchemaVersionId=version_id,
                MaxResults=51) == "InvalidInputException"
    assert code(glue.query_schema_version_metadata, SchemaVersionId=str(uuid.uuid4())) == "EntityNotFoundException"


def test_tags(glue, place):
    registry = glue.get_registry(RegistryId={"RegistryName": place})["RegistryArn"]
    schema = create(glue, place, Tags={"a": "1"})["SchemaArn"]
    for arn, start in ((registry, {}), (schema, {"a": "1"})):
        assert glue.get_tags(ResourceArn=arn)["Tags"] == start
        glue.tag_resource(ResourceArn=arn, TagsToAdd={"a": "2", "ü \"": "", "b": "日" * 256})
        assert glue.get_tags(ResourceArn=arn)["Tags"] == {"a": "2", "ü \"": "", "b": "日" * 256}
        glue.untag_resource(ResourceArn=arn, TagsToRemove=["a", "none", "b"])
        assert glue.get_tags(ResourceArn=arn)["Tags"] == {"ü \"": ""}
        glue.tag_resource(ResourceArn=arn, TagsToAdd={f"k{i}": "v" for i in range(49)})
        for bad in ({"one-more": "v"}, {"k" * 129: "v"}, {"k": "v" * 257}, {}, {"aws:x": "v"}):
            assert code(glue.tag_resource, ResourceArn=arn, TagsToAdd=bad) == "InvalidInputException"
        glue.tag_resource(ResourceArn=arn, TagsToAdd={"k1": "changed"})
        assert len(glue.get_tags(ResourceArn=arn)["Tags"]) == 50
    for call, more in ((glue.get_tags, {}), (glue.tag_resource, {"TagsToAdd": {"a": "b"}}),
                       (glue.untag_resource, {"TagsToRemove": ["a"]})):
        assert code(call, ResourceArn=schema + "x", **more) == "EntityNotFoundException"
    assert code(glue.get_tags, ResourceArn="arn:other") == "InvalidInputException"


# ---- the endpoint around it ----

def test_signatures_faults_and_statistics(endpoint, place):
    stranger = endpoint.client("glue", retries=ONCE, aws_secret_access_key="wrong")
    assert code(stranger.list_registries) == "InvalidSignatureException"
    endpoint.admin("DELETE", "stats")
    c = endpoint.client("glue")
    version_id = create(c, place)["SchemaVersionId"]
    endpoint.faults([{"service": "glue", "operation": "GetSchemaVersion", "count": 2, "status": 400,
                      "exception": "ThrottlingException", "message": "Rate exceeded"}])
    assert c.get_schema_version(SchemaVersionId=version_id)["VersionNumber"] == 1
    endpoint.admin("DELETE", "faults")
    operations = endpoint.admin("GET", "stats")["operations"]
    assert operations["glue.GetSchemaVersion"]["requests"] == 3
    assert operations["glue.CreateSchema"]["requests"] == 1


def test_a_type_that_does_not_fit_is_refused(endpoint, place):
    c = endpoint.client("glue", ONCE, checked=False)
    create(c, place)
    for call, arguments in ((c.list_registries, {"MaxResults": "5"}), (c.create_registry, {"RegistryName": 5}),
                            (c.get_schema, {"SchemaId": {"SchemaName": ["a"]}}),
                            (c.get_schema_version, {"SchemaId": by_name(place),
                                                    "SchemaVersionNumber": {"VersionNumber": 1.5}})):
        assert code(call, **arguments) == "SerializationException"


def test_state_outlives_the_process(tmp_path):
    folder = tmp_path / "state"
    options = ("--auth", "verify", "--dir", folder)
    with LocalAws(tmp_path, *options) as local:
        c = local.client("glue", retries=ONCE)
        c.create_registry(RegistryName="r", Description="kept", Tags={"t": "1"})
        local.admin("POST", "glue", {"pending_polls": 2, "outcome": "FAILURE"})
        first = create(c, "r", Compatibility="FULL", Tags={"s": "2"})["SchemaVersionId"]
        local.admin("POST", "glue", {"pending_polls": 0, "outcome": "AVAILABLE"})
        second = c.register_schema_version(SchemaId=by_name("r"), SchemaDefinition=USER_2)["SchemaVersionId"]
        c.register_schema_version(SchemaId=by_name("r"), SchemaDefinition=avro())
        c.delete_schema_versions(SchemaId=by_name("r"), Versions="3")
        c.put_schema_version_metadata(SchemaVersionId=second,
                                      MetadataKeyValue={"MetadataKey": "k", "MetadataValue": "v"})
        before = c.get_schema(SchemaId=by_name("r"))
    with LocalAws(tmp_path, *options) as local:
        c = local.client("glue", retries=ONCE)
        after = c.get_schema(SchemaId=by_name("r"))
        for answer in (before, after):
            answer.pop("ResponseMetadata")
        assert after == before and after["NextSchemaVersion"] == 4
        assert c.get_registry(RegistryId={"RegistryName": "r"})["Description"] == "kept"
        assert c.get_tags(ResourceArn=after["RegistryArn"])["Tags"] == {"t": "1"}
        assert c.get_tags(ResourceArn=after["SchemaArn"])["Tags"] == {"s": "2"}
        statuses = [c.get_schema_version(SchemaVersionId=first)["Status"] for _ in range(3)]
        assert statuses == ["PENDING", "PENDING", "FAILURE"]
        got = c.get_schema_version(SchemaVersionId=second)
        assert (got["SchemaDefinition"], got["VersionNumber"]) == (USER_2, 2)
        assert c.get_schema_by_definition(SchemaId=by_name("r"), SchemaDefinition=USER)["SchemaVersionId"] == first
        assert list(c.query_schema_version_metadata(SchemaVersionId=second)["MetadataInfoMap"]) == ["k"]
        # The same seed would give the same ids once more.
        ids = {first, second} | {create(c, "r", name=f"n{i}")["SchemaVersionId"] for i in range(8)}
        assert len(ids) == 10
    state = folder / "glue.state"
    whole = state.read_bytes()
    for damaged in (whole[:-9], whole.replace(b"kept", b"Kept")):
        state.write_bytes(damaged)
        with pytest.raises(RuntimeError, match="cannot read the state of glue from .*: it is damaged"):
            LocalAws(tmp_path, *options)


# ---- a client of another hand ----

def test_the_python_serde_library(tmp_path):
    with LocalAws(tmp_path, "--auth", "verify") as local:
        boto = local.client("glue", retries=ONCE)

        def client():
            return SchemaRegistryClient(boto, registry_name="default-registry", wait_interval_seconds=0.01)

        writer = KafkaSerializer(client())
        schema = AvroSchema(USER)
        payload = writer.serialize("orders", ({"name": "Ada"}, schema))
        version = boto.get_schema_version(SchemaId={"SchemaName": "orders-value"},
                                          SchemaVersionNumber={"LatestVersion": True})
        assert payload[:2] == b"\x03\x00"
        assert uuid.UUID(bytes=payload[2:18]) == uuid.UUID(version["SchemaVersionId"])
        # A second version is pending for a while; the library waits for it.
        local.admin("POST", "glue", {"pending_polls": 2})
        payload_2 = writer.serialize("orders", ({"name": "Ada", "age": 36}, AvroSchema(USER_2)))
        assert uuid.UUID(bytes=payload_2[2:18]) != uuid.UUID(version["SchemaVersionId"])
        local.admin("DELETE", "stats")
        reader = KafkaDeserializer(client())
        for _ in range(5):
            assert reader.deserialize("orders", payload).data == {"name": "Ada"}
            assert reader.deserialize("orders", payload_2).data == {"name": "Ada", "age": 36}
        assert local.admin("GET", "stats")["operations"]["glue.GetSchemaVersion"]["requests"] == 2
