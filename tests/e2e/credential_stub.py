"""A Kinesis stream that looks at who asks, beside everything that hands out keys.

One port answers as STS, as the instance's metadata service, as a container's service, and as Kinesis
for those whose keys it has handed out and not taken back. Scripts per service make them fail.
"""

import collections
import datetime
import json
import re
import time
import urllib.parse

from stub import Answer, KinesisStub, error

# The same refusals in the words of the Query protocol.
STS_CODES = {"UnrecognizedClientException": "InvalidClientTokenId", "ExpiredTokenException": "ExpiredToken",
             "InvalidSignatureException": "SignatureDoesNotMatch"}
XMLNS = "https://sts.amazonaws.com/doc/2011-06-15/"


def sts_error(code, message="", status=400):
    return Answer(status, f'<ErrorResponse xmlns="{XMLNS}"><Error><Type>Sender</Type><Code>{code}</Code>'
                  f"<Message>{message}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>".encode(),
                  "text/xml", False)


def plain(status, text=""):
    return Answer(status, text.encode(), "text/plain", False)


class CredentialStub(KinesisStub):
    """The Kinesis part is the base class's; its script keeps working by operation."""

    def __init__(self):
        super().__init__()
        self.keys = {}        # access key id -> (secret, token, role or place)
        self.revoked = set()
        self.asked = []       # every request that hands out keys: (service, detail)
        self.users = collections.Counter()  # access key id -> answered calls of Kinesis
        self.life_s = 3600
        self.container_token = None
        self.imds_tokens = set()
        self.role = "weir-role"
        self.number = 0

    def add_keys(self, owner, key_id=None, token=True):
        with self.lock:
            self.number += 1
            key_id = key_id or f"ASIASTUB{self.number:08d}"
            secret = f"stub-secret-{self.number:04d}-{owner[-12:]}"
            self.keys[key_id] = (secret, f"stub/token+{self.number:04d}==" if token else None, owner)
        return key_id, secret, self.keys[key_id][1]

    def secrets(self):
        return [part for keys in self.keys.values() for part in keys[:2] if part]

    def expiration(self):
        at = datetime.datetime.fromtimestamp(time.time() + self.ahead_s + self.life_s, datetime.timezone.utc)
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")

    def scripted(self, service):
        with self.lock:
            self.calls[service] += 1
            return self.script[service].popleft() if self.script[service] else None

    # ---- whoever asks ----

    def refusal(self, headers):
        """None for a caller with good keys and a good clock, else the answer."""
        match = re.match(r"AWS4-HMAC-SHA256 Credential=([^/]+)/", headers.get("Authorization", ""))
        if not match or match[1] not in self.keys:
            return error("UnrecognizedClientException", "The security token included in the request is invalid.")
        if match[1] in self.revoked:
            return error("ExpiredTokenException", "The security token included in the request is expired")
        if headers.get("X-Amz-Security-Token") != self.keys[match[1]][1]:
            return error("UnrecognizedClientException", "the token is another one's")
        signed = datetime.datetime.strptime(headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(
            tzinfo=datetime.timezone.utc).timestamp()
        if abs(signed - time.time() - self.ahead_s) > 300:
            return error("InvalidSignatureException", "Signature not yet current", 403)
        return None

    def do_keys(self, service, path, headers, body):
        if service == "sts":
            return self.answer_sts(dict(urllib.parse.parse_qsl(body.decode())), headers)
        if service == "container":
            if self.container_token and headers.get("Authorization") != self.container_token:
                return plain(403, "who are you?")
            return self.json_keys("container")
        if path == "/latest/api/token":
            token = f"imds-session-{len(self.imds_tokens)}"
            self.imds_tokens.add(token)
            return plain(200, token)
        if headers.get("x-aws-ec2-metadata-token") not in self.imds_tokens:
            return plain(401)
        if path.endswith("/security-credentials/"):
            return plain(200, self.role)
        return self.json_keys("imds", Code="Success", Type="AWS-HMAC")

    def json_keys(self, owner, **more):
        key_id, secret, token = self.add_keys(owner)
        return Answer(200, json.dumps({"AccessKeyId": key_id, "SecretAccessKey": secret, "Token": token,
                                       "Expiration": self.expiration(), **more}).encode(),
                      "application/json", False)

    def answer_sts(self, form, headers):
        action = form["Action"]
        self.asked.append(("sts", form))
        if action == "AssumeRole":
            refusal = self.refusal(headers)
            if refusal:
                said = json.loads(refusal.body)
                return sts_error(STS_CODES[said["__type"]], said["message"], 403)
        elif form.get("WebIdentityToken") != "web/identity+token":
            return sts_error("InvalidIdentityToken", "not a token of mine")
        key_id, secret, token = self.add_keys(form["RoleArn"])
        return Answer(200, f'''<{action}Response xmlns="{XMLNS}"><{action}Result><Credentials>
            <AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>
            <SessionToken>{token}</SessionToken><Expiration>{self.expiration()}</Expiration>
            </Credentials></{action}Result></{action}Response>'''.encode(), "text/xml", False)

    # ---- every request ----

    def answer(self, path, headers, body):
        target, path = headers.get("X-Amz-Target"), urllib.parse.urlsplit(path).path
        if not target:
            service = "container" if path == "/container" else "imds" if path.startswith("/latest") else "sts"
            return self.scripted(service) or self.do_keys(service, path, headers, body)
        refusal = self.refusal(headers)
        if refusal:
            return refusal
        self.users[re.search(r"Credential=([^/]+)/", headers["Authorization"])[1]] += 1
        return super().answer(path, headers, body)
