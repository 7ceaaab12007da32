"""The golden cases, one module an op family; each has `record(recorder)`."""

from . import activation, arrange, convolution, elementwise, index, linear, network, pooling, reduce

ALL = [elementwise, activation, reduce, linear, convolution, pooling, arrange, index, network]
