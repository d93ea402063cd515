# SPDX-License-Identifier: ISC
"""Makes the wycheproof_*.txt files of this folder from a checkout of the project.

usage: python3 from_wycheproof.py CHECKOUT COMMIT
"""
import json
import pathlib
import sys

HMACS = ("sha1", "sha256", "sha512")
HEAD = """# SPDX-License-Identifier: Apache-2.0
# From the test vectors of Project Wycheproof, commit {commit}, {files};
# changed: rewritten from JSON to one line a case, without comments and flags.
# {fields}; hexadecimal, "-" is empty.
"""


def cases(checkout, name):
    data = json.loads((checkout / "testvectors_v1" / name).read_text())
    for group in data["testGroups"]:
        for case in group["tests"]:
            yield case


def write(out, commit, files, fields, lines):
    head = HEAD.format(commit=commit, files=" ".join(files), fields=" ".join(fields))
    body = "".join(" ".join(value or "-" for value in line) + "\n" for line in lines)
    (pathlib.Path(__file__).parent / out).write_text(head + body)


def main(checkout, commit):
    checkout = pathlib.Path(checkout)
    files = [f"hmac_{h}_test.json" for h in HMACS]
    write("wycheproof_hmac.txt", commit, files, ("hash", "id", "result", "key", "message", "tag"),
          ([h, str(c["tcId"]), c["result"], c["key"], c["msg"], c["tag"]]
           for h, name in zip(HMACS, files) for c in cases(checkout, name)))
    files = ["xchacha20_poly1305_test.json"]
    fields = ("id", "result", "key", "nonce", "aad", "message", "ciphertext", "tag")
    write("wycheproof_xchacha20_poly1305.txt", commit, files, fields,
          ([str(c["tcId"]), c["result"], c["key"], c["iv"], c["aad"], c["msg"], c["ct"], c["tag"]]
           for c in cases(checkout, files[0])))


main(*sys.argv[1:])
