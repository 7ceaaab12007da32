"""Writes scalars.tfevents and values.tfevents with TensorBoard's own messages and record writer (pip install tensorboard)."""
import io
import pathlib
import struct

from google.protobuf import struct_pb2
from tensorboard.compat.proto import (
    config_pb2, event_pb2, graph_pb2, step_stats_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2,
)
from tensorboard.plugins.hparams import plugin_data_pb2, api_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

TIME = 1700000000.5
HERE = pathlib.Path(__file__).parent


class File:
    def __init__(self):
        self.content = io.BytesIO()
        self.writer = RecordWriter(self.content)
        self.write(file_version="brain.Event:2")

    def write(self, **fields):
        event = event_pb2.Event(wall_time=TIME, **fields)
        self.writer.write(event.SerializeToString(deterministic=True))

    def value(self, tag, step, plugin, tensor, content=b""):
        data = summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin, content=content)
        metadata = summary_pb2.SummaryMetadata(plugin_data=data)
        value = summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        self.write(step=step, summary=summary_pb2.Summary(value=[value]))

    def save(self, name):
        (HERE / name).write_bytes(self.content.getvalue())


def shape(*dims):
    return tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=d) for d in dims])


def tensor(dtype, dims, content):
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape=shape(*dims), tensor_content=content)


def strings(dims, values):
    return tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_shape=shape(*dims), string_val=values)


file = File()
for step, number in [(0, 0.5), (300, float("nan"))]:
    file.value("epoch_loss", step, "scalars", tensor(types_pb2.DT_FLOAT, [], struct.pack("<f", number)))
file.save("scalars.tfevents")

file = File()
rows = [0.0, 1.0, 2.0, 1.0, 2.5, 7.0]
file.value("weights", 1, "histograms", tensor(types_pb2.DT_DOUBLE, [2, 3], struct.pack("<6d", *rows)))
file.value("pictures", 2, "images", strings([3], [b"4", b"3", b"\x89PNG"]))
file.value("notes", 3, "text", strings([], ["*é*".encode()]))
file.value("table", 4, "text", strings([2, 2], [b"a", b"b", b"c", b"d"]))

empty = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=shape(0))


def hparams(name, **kind):
    data = plugin_data_pb2.HParamsPluginData(**kind)
    file.value("_hparams_/" + name, 0, "hparams", empty, data.SerializeToString(deterministic=True))


Value = struct_pb2.Value
start = plugin_data_pb2.SessionStartInfo(group_name="first", start_time_secs=TIME)
start.hparams["augment"].bool_value = False
start.hparams["optimizer"].string_value = "sgd"
start.hparams["rate"].number_value = 0.1
hparams("session_start_info", session_start_info=start)
hparams("session_end_info", session_end_info=plugin_data_pb2.SessionEndInfo(status=2, end_time_secs=TIME))
hparams("experiment", experiment=api_pb2.Experiment(
    description="Rates", time_created_secs=TIME,
    hparam_infos=[api_pb2.HParamInfo(name="rate", type=3, domain_discrete=struct_pb2.ListValue(
        values=[Value(number_value=0.1), Value(number_value=0.2)]))],
    metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(group="train", tag="epoch_loss"))],
))

DEVICE = "/job:localhost/replica:0/task:0/device:CPU:0"
graph = graph_pb2.GraphDef()
x = graph.node.add(name="x", op="Input", device=DEVICE)
relu = graph.node.add(name="dense/relu", op="relu", input=["x", "^x"], device=DEVICE)
for node in (x, relu):
    node.attr["_output_shapes"].list.shape.add().CopyFrom(shape(-1, 4))
    node.attr["dtype"].type = types_pb2.DT_FLOAT
relu.attr["layer"].s = b"dense"
graph.versions.producer = 1
stats = step_stats_pb2.NodeExecStats(
    node_name="dense/relu", all_start_micros=1700000000000000, op_end_rel_micros=26, all_end_rel_micros=26)
stats.memory.add(allocator_name="cpu", total_bytes=64, peak_bytes=64)
output = stats.output.add(slot=0)
output.tensor_description.dtype = types_pb2.DT_FLOAT
output.tensor_description.shape.CopyFrom(shape(4, 4))
allocation = output.tensor_description.allocation_description
allocation.requested_bytes = allocation.allocated_bytes = 64
allocation.allocator_name = "cpu"
metadata = config_pb2.RunMetadata(
    step_stats=step_stats_pb2.StepStats(dev_stats=[step_stats_pb2.DeviceStepStats(device=DEVICE, node_stats=[stats])]),
    function_graphs=[config_pb2.RunMetadata.FunctionGraphs(pre_optimization_graph=graph)],
)
content = metadata.SerializeToString(deterministic=True)
file.value("step", 5, "graph_run_metadata", strings([], [content]), b"1")
file.save("values.tfevents")
