"""Turns what image.sh lists of the image into a bill of materials: CycloneDX 1.5.

Reads three lists from stdin, each under its name in brackets: Debian packages with
the licences that their copyright files name, crates as `cargo tree` prints them, and
the lock file of the page. It must not know where the lists come from.
"""

import json
import re
import sys

# The licences of what a person has to think about are told in docs/image.md.
FORMAT = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1}


def component(kind, name, version, purl, licences):
    return {
        "type": kind,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [{"license": {"name": licence}} for licence in licences],
    }


def of_debian(lines):
    for line in lines:
        package, version, _source, licences = (line.split("\t") + [""] * 4)[:4]
        purl = f"pkg:deb/debian/{package}@{version}"
        yield component("library", package, version, purl, [it for it in licences.split(";") if it])


def of_cargo(lines):
    for line in lines:
        # A crate that was printed before has a mark behind it.
        told, _, licence = line.partition("\t")
        match = re.match(r"(\S+) v(\S+)", told)
        if match:
            name, version = match.groups()
            licence = licence.removesuffix(" (*)").strip()
            yield component("library", name, version, f"pkg:cargo/{name}@{version}", [licence] if licence else [])


def of_npm(lines):
    for path, package in json.loads("\n".join(lines))["packages"].items():
        # What the page is built with is not in it.
        if path and not package.get("dev"):
            name, version = path.rpartition("node_modules/")[2], package["version"]
            licence = package.get("license")
            yield component("library", name, version, f"pkg:npm/{name}@{version}", [licence] if licence else [])


def main():
    lists, current = {}, None
    for line in sys.stdin.read().splitlines():
        if line in ("[debian]", "[cargo]", "[npm]"):
            current = lists.setdefault(line, [])
        elif current is not None and line:
            current.append(line)
    found = [*of_debian(lists["[debian]"]), *of_cargo(lists["[cargo]"]), *of_npm(lists["[npm]"])]
    unique = {item["purl"]: item for item in found}
    json.dump(FORMAT | {"components": list(unique.values())}, sys.stdout, indent=1)
    print()


main()
