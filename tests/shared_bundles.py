"""Readies bundles of the optional test data for the sandbox: copies, stub files, template variables, the host.
It changes nothing else in them, and holds no test."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

# What the acceptance harness of the CLI puts into its templates.
TEMPLATE_VALUES = {
    "UNIQUE_NAME": "unique-name",
    "DEFAULT_SPARK_VERSION": "16.4.x-scala2.12",
    "NODE_TYPE_ID": "i3.xlarge",
    "TEST_SP_DISPLAY_NAME": "a-service-principal",
    "SECTION": "jobs",
    "CONTENT1": "",
    "CONTENT2": "name: foo",
    "PREFIX": '"[${workspace.current_user.short_name}] "',
}
EMPTY_NOTEBOOK = {"cells": [], "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
ENV_VARIABLE = re.compile(r"\bBUNDLE_VAR_(\w+)=(\S+)")
FLAG_VARIABLE = re.compile(r"--var[= ]\"?(\w+)=([^\s\"]+)")
HOST = re.compile(r"^(\s*host:\s*)https?://\S+\s*$", re.MULTILINE)


def ready_bundle(source: Path, entry: dict[str, Any], target: Path, host: str) -> Path:
    """Copies one bundle of `index.json` into `target`, with stubs for its code files; returns the folder."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("expected*", "LICENSE*"))
    target.chmod(0o755)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for stub in entry.get("omitted_code_files", []):
        path = target / stub["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            continue
        if path.suffix == ".ipynb":
            path.write_text(json.dumps(EMPTY_NOTEBOOK))
        else:
            path.write_text("# Databricks notebook source\n" if stub.get("notebook") else "")
    for template in target.rglob("*.tmpl"):
        text = template.read_text()
        for name, value in TEMPLATE_VALUES.items():
            text = text.replace(f"${name}", value)
        template.with_suffix("").write_text(text)
    for config in target.rglob("*.yml"):
        text = config.read_text()
        config.write_text(HOST.sub(rf"\g<1>{host}", text.replace("$DATABRICKS_HOST", host)))
    return target


def recorded_variables(entry: dict[str, Any]) -> dict[str, str]:
    """The variables that the recorded commands of a bundle set, as environment for the CLI."""
    text = "\n".join(entry.get("commands", []))
    found = [*ENV_VARIABLE.findall(text), *FLAG_VARIABLE.findall(text)]
    return {f"BUNDLE_VAR_{name}": value for name, value in found}
