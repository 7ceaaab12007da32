"""The golden cases, one module an op family; each has `record(recorder)`."""

from . import arrange, convolution, elementwise, index, linear, network, pooling, reduce

ALL = [elementwise, reduce, linear, convolution, pooling, arrange, index, network]
