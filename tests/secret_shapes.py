"""Secrets of every shape, in a line as they come: a text, and what in it must never be read.
It holds no test and no expectation.
"""

from __future__ import annotations

import base64
import json
import random

_RANDOM = random.Random(20261124)
HEX = "".join(_RANDOM.choice("0123456789abcdef") for _ in range(32))
OPAQUE = "".join(_RANDOM.choice("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789") for _ in range(40))

BASE64 = base64.b64encode(OPAQUE.encode()).decode()


def _part(data: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


JWT = f"{_part({'alg': 'RS256', 'kid': 'k1'})}.{_part({'sub': 'you@example.com', 'exp': 1790000000})}.{OPAQUE}"
PEM_BODY = "\n".join(OPAQUE[at % 17 :] + HEX[:20] for at in range(6))
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_BODY}\n-----END RSA PRIVATE KEY-----"

SHAPES: dict[str, tuple[str, str]] = {
    # name: (text, the secret in it)
    "personal access token": (f"using dapi{HEX} now", f"dapi{HEX}"),
    "token of a shard": (f"dapi{HEX}-2", f"dapi{HEX}-2"),
    "oauth secret": (f"secret dose{HEX} end", f"dose{HEX}"),
    "jwt": (f"got {JWT} back", JWT),
    "bearer header": (f"Authorization: Bearer {OPAQUE}", OPAQUE),
    "bearer in json": (json.dumps({"Authorization": f"Bearer {OPAQUE}"}), OPAQUE),
    "bearer alone": (f"sent Bearer {OPAQUE}", OPAQUE),
    "basic header": (f"authorization: Basic {BASE64}", BASE64),
    "client secret": (f"client_secret = {OPAQUE}", OPAQUE),
    "client secret in json": (json.dumps({"client_secret": OPAQUE}), OPAQUE),
    "client secret of the environment": (f"ARM_CLIENT_SECRET={OPAQUE}", OPAQUE),
    "databricks token of the environment": (f"export DATABRICKS_TOKEN='{OPAQUE}'", OPAQUE),
    "token in the config file": (f"[DEFAULT]\nhost = https://x\ntoken = {OPAQUE}", OPAQUE),
    "token in json": (json.dumps({"token": OPAQUE}), OPAQUE),
    "shared access signature": (f"https://a.blob.core.windows.net/c?sv=2024&sig={OPAQUE}%3D&se=x", f"{OPAQUE}%3D"),
    "aws key pair": (f"AKIAIOSFODNN7EXAMPLE / {OPAQUE}", OPAQUE),
    "aws secret": (f"aws_secret_access_key={OPAQUE}", OPAQUE),
    "url userinfo": (f"jdbc:postgresql://loader:{OPAQUE}@db.example.com/x", OPAQUE),
    "token in a git url": (f"https://{OPAQUE}@example.com/repo.git", OPAQUE),
    "query token": (f"GET /x?token={OPAQUE}&a=1", OPAQUE),
    "presigned url": (f"https://b.s3.amazonaws.com/k?X-Amz-Signature={HEX}{HEX}", HEX + HEX),
    "private key": (PEM, PEM_BODY),
    "private key in json": (json.dumps({"key": PEM}), json.dumps(PEM_BODY)[1:-1]),
    "password": (f"password: 'S3cret!{HEX[:6]}'", f"S3cret!{HEX[:6]}"),
    "account key": (f"AccountName=a;AccountKey={OPAQUE}==;EndpointSuffix=x", OPAQUE),
    "spark account key": (f"fs.azure.account.key.acc.dfs.core.windows.net = {OPAQUE}", OPAQUE),
    "flag of a command": (f"databricks configure --token {OPAQUE}", OPAQUE),
    "github token": ("ghp_" + OPAQUE[:36], "ghp_" + OPAQUE[:36]),
}  # fmt: skip


def leaks(secret: str, text: str) -> list[str]:
    """Every piece of eight characters of the secret that can be read in the text."""
    pieces = {secret[at : at + 8] for at in range(max(1, len(secret) - 7))}
    return [piece for piece in pieces if piece in text and "\n" not in piece and "\\n" not in piece]
