# SPDX-License-Identifier: ISC
"""No message that a client can send may contain itself: protobuf-c unpacks without a depth limit,
and one type that nests in itself lets 60 KB of input run the stack out."""
import glob
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2


def descriptors():
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(
            ["protoc", "-Iproto", "-I/usr/include", "--include_imports",
             "--descriptor_set_out=" + out.name,
             *glob.glob("proto/**/*.proto", recursive=True)],
            check=True)
        return descriptor_pb2.FileDescriptorSet.FromString(out.read())


def collect(messages, prefix, into):
    for m in messages:
        name = prefix + "." + m.name
        into[name] = [f.type_name for f in m.field if f.type_name]
        collect(m.nested_type, name, into)


def find_cycle(name, fields, path):
    if name in path:
        return path[path.index(name):] + [name]
    for inner in fields.get(name, []):
        cycle = find_cycle(inner, fields, path + [name])
        if cycle:
            return cycle
    return None


def main():
    files = descriptors()
    fields, requests = {}, []
    for f in files.file:
        collect(f.message_type, "." + f.package, fields)
        requests += [m.input_type for s in f.service for m in s.method]
    assert requests, "no methods found"
    cycles = [c for c in (find_cycle(r, fields, []) for r in requests) if c]
    for c in cycles:
        print("recursive: " + " -> ".join(c), file=sys.stderr)
    return 1 if cycles else 0


sys.exit(main())
