"""A client of the observer that shares no code with it: all that it knows comes from the server's reflection.

observer_client.py ADDRESS SERVICE METHOD [REQUEST_AS_JSON]

Prints each answer as one JSON object a line, in the mapping of proto3 with the proto's own field names; of
`list services` the names. Ends with 0, or with 1 and {"code", "message"} where the server refused.
"""

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


def main():
    address, service, method = sys.argv[1:4]
    request = sys.argv[4] if len(sys.argv) > 4 else "{}"
    # For a unix socket gRPC would send the socket's path as the host's name, which many servers refuse.
    options = [("grpc.default_authority", "localhost")]
    with grpc.insecure_channel(address, options=options) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        if (service, method) == ("list", "services"):
            print(json.dumps({"services": sorted(database.get_services())}))
            return 0
        pool = descriptor_pool.DescriptorPool(database)
        try:
            for answer in call(channel, pool, service, method, request):
                fields = json_format.MessageToDict(answer, preserving_proto_field_name=True, descriptor_pool=pool)
                print(json.dumps(fields), flush=True)
        except grpc.RpcError as error:
            print(json.dumps({"code": error.code().name, "message": error.details()}), flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
