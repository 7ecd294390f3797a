"""Every operation of the JSON services with nothing, with resources that nobody made, with members
that are alone, of a wrong type or null: an answer each time, and an endpoint that lives on.

The inputs come from the models that boto3 brings along. What a refused call leaves behind is
looked for by the sanitizers: with WEIR_BUILD at a build that has them, an operation that reads its
call behind the answer ends the process, and so the test.
"""

import http.client
import json

import botocore.session
import pytest

from local import LocalAws

ACCOUNT = "us-east-1:000000000000"
# How many operations each has at least, so that a target that is misspelt here is not taken for one.
SERVICES = {"kinesis": 33, "firehose": 12, "glue": 23, "secretsmanager": 13}
ARNS = {"kinesis": "stream/{}", "firehose": "deliverystream/{}", "glue": "registry/{}",
        "secretsmanager": "secret:{}-abcdef"}
# Within an id these exclude its other members, so that with them nothing would ever be found.
EITHER_OR = {"RegistryArn", "SchemaArn", "LatestVersion"}


class Inputs:
    """Values of a service's shapes, as its JSON has them."""

    def __init__(self, service, name):
        self.service, self.name = service, name

    def text(self, shape, member):
        if shape.enum:
            return shape.enum[0]
        if member.lower().endswith("arn"):
            kind = ARNS[self.service]
            if member == "SchemaArn":
                kind = "schema/{0}/{0}"
            return f"arn:aws:{self.service}:{ACCOUNT}:{kind.format(self.name)}"
        if member == "SchemaVersionId":
            return "01234567-89ab-cdef-0123-456789abcdef"
        if member == "SchemaDefinition":
            return '{"type": "string"}'
        return self.name.ljust(shape.metadata.get("min", 0), "x")

    def of(self, shape, member="", depth=0):
        kind = shape.type_name
        if kind == "structure":
            if depth > 6:
                return {}
            return {name: self.of(m, name, depth + 1) for name, m in shape.members.items()
                    if depth == 0 or name not in EITHER_OR}
        if kind == "list":
            return [] if depth > 6 else [self.of(shape.member, member, depth + 1)]
        if kind == "map":
            return {} if depth > 6 else {self.name: self.of(shape.value, member, depth + 1)}
        if kind in ("integer", "long"):
            return max(shape.metadata.get("min", 1), 1)
        return {"boolean": True, "blob": "YQ==", "timestamp": 1.5, "double": 1.0, "float": 1.0}.get(
            kind) or self.text(shape, member)

    def variants(self, shape):
        whole = self.of(shape) if shape else {}
        yield {}
        yield whole
        yield {name: whole[name] for name in shape.required_members} if shape else {}
        for name in whole:
            yield {name: whole[name]}
            yield {k: v for k, v in whole.items() if k != name}
            for wrong in (None, 1, "", [], {}, [1], [{}], {"k": 1}):
                yield {**whole, name: wrong}


def renamed(document, old, new):
    return json.loads(json.dumps(document).replace(old, new))


def escaped(document):
    """Every string with an escape, so that none of them points into the request's own bytes."""
    if isinstance(document, dict):
        return "{" + ",".join(f"{escaped(k)}:{escaped(v)}" for k, v in document.items()) + "}"
    if isinstance(document, list):
        return "[" + ",".join(map(escaped, document)) + "]"
    if isinstance(document, str) and document:
        return f'"\\u{ord(document[0]):04x}' + json.dumps(document[1:])[1:]
    return json.dumps(document)


class Caller:
    def __init__(self, local, service):
        self.local = local
        self.model = botocore.session.get_session().get_service_model(service)
        self.connection = http.client.HTTPConnection("127.0.0.1", local.port, timeout=60)

    def __call__(self, operation, document):
        text = escaped(document)
        try:
            self.connection.request("POST", "/", text.encode(), {
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": f"{self.model.metadata['targetPrefix']}.{operation}"})
            answer = self.connection.getresponse()
            body = answer.read()
        except (ConnectionError, http.client.HTTPException) as error:
            self.local.stop()
            raise AssertionError(f"{operation} {text}: {error!r}\n"
                                 f"{self.local.log_file.read_text()[-8000:]}") from None
        assert answer.status == 200 or 400 <= answer.status < 500, (operation, text, answer.status, body)
        said = json.loads(body) if body else {}
        assert answer.status == 200 or said["__type"], (operation, text, body)
        return answer.status, said.get("__type")

    def served(self):
        """Those of the model that the endpoint has; what takes things away comes last."""
        names = [name for name in self.model.operation_names
                 if self(name, {})[1] != "UnknownOperationException"]
        return sorted(names, key=lambda name: name.startswith(("Delete", "Deregister")))


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_answers_and_the_endpoint_lives(tmp_path, service):
    with LocalAws(tmp_path, "--stream", "known:1", "--bucket", "known",
                  "--delivery-stream", "known=known/") as local:
        for settings in ("kinesis", "firehose"):  # a refusal for calling too often hides all others
            local.admin("POST", settings, {"limits": False})
        local.client("secretsmanager").create_secret(Name="known", SecretString="x")
        glue = local.client("glue")
        glue.create_registry(RegistryName="known")
        glue.create_schema(RegistryId={"RegistryName": "known"}, SchemaName="known", DataFormat="AVRO",
                           Compatibility="NONE", SchemaDefinition='{"type": "int"}')
        call = Caller(local, service)
        served = call.served()
        assert len(served) >= SERVICES[service]
        answered = {}
        for name in ("unknown", "known"):  # the second time operations get further, and some succeed
            for operation in served:
                shape = call.model.operation_model(operation).input_shape
                for number, document in enumerate(Inputs(service, name).variants(shape)):
                    if name == "unknown":  # what one call made is not in the way of the next
                        document = renamed(document, name, f"{name}-{operation[:30]}-{number}")
                    answered.setdefault((name, call(operation, document)[0]), set()).add(operation)
        assert len(answered["unknown", 400]) > len(served) // 2
        assert len(answered["known", 200]) > len(served) // 2 < len(answered["known", 400])
        assert local.process.poll() is None and local.now() > 0
