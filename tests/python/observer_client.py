"""A client of the observer that shares no code with it: all that it knows comes from the server's reflection.

observer_client.py ADDRESS SERVICE METHOD [REQUEST_AS_JSON] [--ca FILE [--cert FILE --key FILE]]

Prints each answer as one JSON object a line, in the mapping of proto3 with the proto's own field names; of
`list services` the names. With --ca it speaks TLS, and shows a certificate if it has one. Ends with 0, or with 1 and {"code", "message"} where the server refused.
"""

import argparse
import faulthandler
import json
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def call(channel, pool, service_name, method_name, request_json):
    """Calls a method of either kind and yields its answers."""
    method = pool.FindServiceByName(service_name).FindMethodByName(method_name)
    request = message_factory.GetMessageClass(method.input_type)()
    json_format.Parse(request_json, request, descriptor_pool=pool)
    path = f"/{service_name}/{method_name}"
    codec = {
        "request_serializer": lambda message: message.SerializeToString(),
        "response_deserializer": message_factory.GetMessageClass(method.output_type).FromString,
    }
    if method.server_streaming:
        yield from channel.unary_stream(path, **codec)(request)
    else:
        yield channel.unary_unary(path, **codec)(request, timeout=10)


def connect(arguments):
    """The channel, by what the arguments say."""
    # For a unix socket gRPC would send the socket's path as the host's name, which many servers refuse.
    options = [("grpc.default_authority", "localhost")]
    if arguments.ca is None:
        return grpc.insecure_channel(arguments.address, options=options)
    read = lambda path: open(path, "rb").read() if path else None
    credentials = grpc.ssl_channel_credentials(read(arguments.ca), read(arguments.key), read(arguments.cert))
    return grpc.secure_channel(arguments.address, credentials)


def main():
    parser = argparse.ArgumentParser()
    for name in ("address", "service", "method"):
        parser.add_argument(name)
    parser.add_argument("request", nargs="?", default="{}")
    for name in ("--ca", "--cert", "--key"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    service, method, request = arguments.service, arguments.method, arguments.request
    with connect(arguments) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        if (service, method) == ("list", "services"):
            print(json.dumps({"services": sorted(database.get_services())}))
            return 0
        try:
            pool = descriptor_pool.DescriptorPool(database)
            for answer in call(channel, pool, service, method, request):
                fields = json_format.MessageToDict(answer, preserving_proto_field_name=True, descriptor_pool=pool)
                print(json.dumps(fields), flush=True)
        except grpc.RpcError as error:
            print(json.dumps({"code": error.code().name, "message": error.details()}), flush=True)
            return 1
    return 0


if __name__ == "__main__":
    # A test that has waited in vain ends it by SIGABRT, and shows where it stood.
    faulthandler.enable()
    sys.exit(main())
