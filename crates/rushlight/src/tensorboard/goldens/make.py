"""Writes scalars.tfevents with TensorBoard's own messages and record writer (pip install tensorboard)."""
import io
import pathlib
import struct

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

TIME = 1700000000.5
content = io.BytesIO()
writer = RecordWriter(content)


def write(**fields):
    writer.write(event_pb2.Event(wall_time=TIME, **fields).SerializeToString(deterministic=True))


write(file_version="brain.Event:2")
for step, number in [(0, 0.5), (300, float("nan"))]:
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="scalars")
    value = summary_pb2.Summary.Value(
        tag="epoch_loss",
        metadata=summary_pb2.SummaryMetadata(plugin_data=plugin),
        tensor=tensor_pb2.TensorProto(
            dtype=types_pb2.DT_FLOAT,
            tensor_shape=tensor_shape_pb2.TensorShapeProto(),
            tensor_content=struct.pack("<f", number),
        ),
    )
    write(step=step, summary=summary_pb2.Summary(value=[value]))

pathlib.Path(__file__).with_name("scalars.tfevents").write_bytes(content.getvalue())
