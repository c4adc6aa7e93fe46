"""Calls of `keras.ops` in the configs of functional models.

Keras has a class for each function; what is no tensor goes to the class's constructor, and so into its config, the rest
into the call. Here a call is its function with all arguments. Both ways between the two.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from striate.core.errors import message
from striate.core.registry import module_objects
from striate.trace import OPS, FunctionOperation

# Keras's classes by module: the name, and the arguments of its constructor.
_CLASSES = {
    "numpy": """
        Abs Absolute Add All:axis,keepdims AllClose:rtol,atol,equal_nan Amax:axis,keepdims Amin:axis,keepdims
        Angle Any:axis,keepdims Append:axis Arange:dtype Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh
        Argmax:axis,keepdims Argmin:axis,keepdims Argpartition:kth,axis Argsort:axis Array:dtype
        ArraySplit:indices_or_sections,axis Average:axis Bincount:weights,minlength,sparse BitwiseAnd
        BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo:shape Cbrt
        Ceil Clip:x_min,x_max Concatenate:axis Conj Conjugate Copy Corrcoef Correlate:mode Cos Cosh
        CountNonzero:axis Cross:axisa,axisb,axisc,axis Cumprod:axis,dtype Cumsum:axis,dtype Deg2rad Diag:k
        Diagflat:k Diagonal:offset,axis1,axis2 Diff:n,axis Digitize Divide DivideNoNan Dot
        Dsplit:indices_or_sections Dstack Einsum:subscripts EmptyLike:dtype Equal Exp Exp2 ExpandDims:axis Expm1
        Fabs Flip:axis Fliplr Flipud Floor FloorDivide Fmax Fmin Fmod Full:shape,dtype FullLike:dtype Gcd
        Geomspace:num,endpoint,dtype,axis GetItem Greater GreaterEqual Heaviside Histogram:bins,range
        Hsplit:indices_or_sections Hstack Hypot I0 Imag Inner IsIn:assume_unique,invert Isclose:equal_nan
        Isfinite Isinf Isnan Isneginf Isposinf Isreal Kron Lcm Ldexp LeftShift Less LessEqual
        Linspace:num,endpoint,retstep,dtype,axis Log Log10 Log1p Log2 Logaddexp Logaddexp2 LogicalAnd LogicalNot
        LogicalOr LogicalXor Logspace:num,endpoint,base,dtype,axis Matmul Max:axis,keepdims,initial Maximum
        Mean:axis,keepdims Median:axis,keepdims Meshgrid:indexing Min:axis,keepdims,initial Minimum Mod
        Moveaxis:source,destination Multiply NanToNum:nan,posinf,neginf Nanargmax:axis,keepdims
        Nanargmin:axis,keepdims Nancumprod:axis,dtype Nancumsum:axis,dtype Nanmax:axis,keepdims
        Nanmean:axis,keepdims Nanmedian:axis,keepdims Nanmin:axis,keepdims Nanpercentile:axis,method,keepdims
        Nanprod:axis,keepdims Nanquantile:axis,method,keepdims Nanstd:axis,keepdims Nansum:axis,keepdims
        Nanvar:axis,keepdims Ndim Negative Nextafter Nonzero NotEqual OnesLike:dtype Outer Pad:pad_width,mode
        Percentile:axis,method,keepdims Power Prod:axis,keepdims,dtype Ptp:axis,keepdims
        Quantile:axis,method,keepdims Rad2deg Ravel Real Reciprocal Repeat:repeats,axis Reshape:newshape
        RightShift Roll:shift,axis Rot90:k,axes Round:decimals SearchSorted:side Select Sign Signbit Sin Sinc
        Sinh Size Slogdet Sort:axis Split:indices_or_sections,axis Sqrt Square Squeeze:axis Stack:axis
        Std:axis,keepdims Subtract Sum:axis,keepdims Swapaxes:axis1,axis2 Take:axis TakeAlongAxis:axis Tan Tanh
        Tensordot:axes Tile:repeats Trace:offset,axis1,axis2 Transpose:axes Trapezoid:x,dx,axis Tril:k Triu:k
        TrueDivide Trunc Unique:sorted,return_index,return_inverse,return_counts,axis,size,fill_value
        UnravelIndex:shape Vander:N,increasing Var:axis,keepdims Vdot View:dtype Vsplit:indices_or_sections
        Vstack Where ZerosLike:dtype""",
    "nn": """
        AdaptiveAveragePool:output_size,data_format AdaptiveMaxPool:output_size,data_format
        AveragePool:pool_size,strides,padding,data_format BatchNorm:axis,epsilon BinaryCrossentropy:from_logits
        CTCDecode:strategy,beam_width,top_paths,merge_repeated,mask_index CTCLoss:mask_index
        CategoricalCrossentropy:from_logits,axis Celu:alpha Conv:strides,padding,data_format,dilation_rate
        ConvTranspose:strides,padding,output_padding,data_format,dilation_rate
        DepthToSpace:block_size,data_format DepthwiseConv:strides,padding,data_format,dilation_rate
        DotProductAttention:is_causal,flash_attention,attn_logits_soft_cap Elu:alpha
        Fold:output_size,kernel_size,dilation,padding,stride Gelu:approximate Glu:axis HardShrink:threshold
        HardSigmoid HardSilu HardTanh LayerNorm:axis,epsilon,rms_scaling LeakyRelu:negative_slope LogSigmoid
        LogSoftmax:axis MaxPool:pool_size,strides,padding,data_format Moments:axes,keepdims,synchronized
        MultiHot:num_classes,axis,dtype,sparse Normalize:axis,order,epsilon OneHot:num_classes,axis,dtype,sparse
        PSNR:max_val Polar RMSNorm:axis,epsilon Relu Relu6 Selu
        SeparableConv:strides,padding,data_format,dilation_rate Sigmoid Silu SoftShrink:threshold Softmax:axis
        Softplus Softsign SpaceToDepth:block_size,data_format SparseCategoricalCrossentropy:from_logits,axis
        SparsePlus SparseSigmoid Sparsemax:axis Squareplus:b TanhShrink Threshold:threshold,default_value
        Unfold:kernel_size,dilation,padding,stride""",
    "core": """
        Cast:dtype ConvertToTensor:dtype,sparse,ragged SaturateCast:dtype Scatter:shape ScatterUpdate:reduction
        Slice:shape SliceUpdate StopGradient Unstack:num,axis""",
    "math": """
        CDist Erf Erfc Erfinv ExtractSequences:sequence_length,sequence_stride FFT FFT2 IFFT2 IRFFT:fft_length
        ISTFT:sequence_length,sequence_stride,fft_length,length,window,center InTopK:k Logdet
        Logsumexp:axis,keepdims RFFT:fft_length Rsqrt
        STFT:sequence_length,sequence_stride,fft_length,window,center SegmentMax:num_segments,sorted
        SegmentMin:num_segments,sorted SegmentProd:num_segments,sorted SegmentSum:num_segments,sorted
        TopK:k,sorted ViewAsComplex ViewAsReal""",
    "linalg": """
        Cholesky:upper CholeskyInverse:upper Det Eig Eigh Inv Lstsq:rcond LuFactor MatrixRank:tol
        Norm:ord,axis,keepdims Pinv:rcond Qr:mode SVD:full_matrices,compute_uv Solve SolveTriangular:lower""",
    "image": """
        AffineTransform:interpolation,fill_mode,fill_value,data_format
        CropImages:top_cropping,left_cropping,bottom_cropping,right_cropping,target_height,target_width,data_format
        ElasticTransform:alpha,sigma,interpolation,fill_mode,fill_value,seed,data_format
        ExtractPatches:size,strides,dilation_rate,padding,data_format GaussianBlur:kernel_size,sigma,data_format
        HSVToRGB:data_format MapCoordinates:order,fill_mode,fill_value
        PadImages:top_padding,left_padding,bottom_padding,right_padding,target_height,target_width,data_format
        PerspectiveTransform:interpolation,fill_value,data_format RGBToGrayscale:data_format
        RGBToHSV:data_format
        Resize:size,interpolation,antialias,crop_to_aspect_ratio,pad_to_aspect_ratio,fill_mode,fill_value,data_format
        SSIM:max_val,filter_size,filter_sigma,k1,k2,data_format ScaleAndTranslate:spatial_dims,method,antialias
        SobelEdges:data_format""",
    "einops": """
        Rearrange""",
}
_RENAMED = {"batchnormalization": "batchnorm", "layernormalization": "layernorm", "rmsnormalization": "rmsnorm"}
_ARGUMENTS = "_revived_arguments"


def _entries() -> Iterator[tuple[str, tuple[str, str, tuple[str, ...]]]]:
    for module, words in _CLASSES.items():
        for word in words.split():
            name, _, arguments = word.partition(":")
            yield name.lower(), (f"keras.src.ops.{module}", name, tuple(filter(None, arguments.split(","))))


_KNOWN = dict(_entries())


def _key(name: str) -> str:
    flat = name.replace("_", "").lower()
    return _RENAMED.get(flat, flat)


def entry_of(operation: FunctionOperation, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The entry of a call in a config; `arguments` are those of the constructor."""
    config = {"name": operation.name, **(arguments or {})}
    known = _KNOWN.get(_key(operation.fn.__name__))
    if known is None:  # a function that Keras does not have
        name = "".join(part[:1].upper() + part[1:] for part in operation.fn.__name__.split("_"))
        return {"module": "keras.ops", "class_name": name, "config": config, "registered_name": name}
    module, name, _ = known
    return {"module": module, "class_name": name, "config": config, "registered_name": name}


def split(operation: FunctionOperation, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """The arguments of a call as Keras has them: the constructor's, the call's, the call's by name."""
    known = _KNOWN.get(_key(operation.fn.__name__))
    if known is None:
        return {}, tuple(args), dict(kwargs)
    bound = inspect.signature(operation.fn).bind(*args, **kwargs)
    given = set(bound.arguments)
    bound.apply_defaults()
    made: dict[str, Any] = {}
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in bound.signature.parameters.items():
        value = bound.arguments[name]
        if name in known[2]:
            made[name] = value
        elif parameter.kind is parameter.VAR_POSITIONAL:
            positional += value
        elif parameter.kind is parameter.VAR_KEYWORD:
            named |= value
        elif name in given and (named or parameter.kind is parameter.KEYWORD_ONLY):
            named[name] = value
        elif name in given:
            positional.append(value)
    return made, tuple(positional), named


def is_operation(config: Mapping[str, Any]) -> bool:
    """Whether `config` is the entry of a call of `keras.ops`."""
    module = str(config.get("module") or "")
    return config["class_name"] != "function" and (module == "keras.ops" or module.startswith("keras.src.ops."))


def operation_of(config: Mapping[str, Any], decode: Callable[[Any], Any]) -> FunctionOperation:
    """The call that an entry of a config describes; its constructor's arguments wait in it until it is called.

    Raises:
        ValueError: a class that no function here stands for.
    """
    fn = _function(str(config["class_name"]))
    if fn is None:
        problem = f"there is no `keras.ops` function for {config['class_name']!r}"
        raise ValueError(message("deserialize_keras_object", problem))
    inner = dict(config["config"] or {})
    made = FunctionOperation(inspect.unwrap(fn), name=inner.pop("name", None))
    made.__dict__[_ARGUMENTS] = {name: decode(value) for name, value in inner.items()}
    return made


def _function(class_name: str) -> Any:
    wanted = _key(class_name)
    found = next((fn for name, fn in OPS.items() if _key(name) == wanted), None)
    return found or next((fn for name, fn in module_objects("keras.ops.image").items() if _key(name) == wanted), None)


def call_arguments(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """The arguments of the function for those of a call of Keras's class: with what waits in the operation.

    Raises:
        ValueError: arguments that the function does not have.
    """
    waiting = getattr(operation, "__dict__", {}).get(_ARGUMENTS) or {}
    if isinstance(operation, FunctionOperation) and operation.fn.__name__ == "get_item":
        args = [tuple(x) if isinstance(x, list) else x for x in args]  # JSON has no tuples
    if not waiting:
        return args, kwargs
    parameters = inspect.signature(operation.fn).parameters
    unknown = sorted(set(waiting) - set(parameters))
    if unknown:
        problem = f"the config of {operation.name!r} has the arguments {unknown}, which `{operation.fn.__name__}` lacks"
        raise ValueError(message("deserialize_keras_object", problem))
    if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        return _around(parameters, waiting, args), {**kwargs, **_keyword_only(parameters, waiting)}
    names = [name for name in parameters if name not in waiting]
    leading = 0
    while leading < len(args) and list(parameters)[leading] == names[leading]:
        leading += 1
    return tuple(args[:leading]), {**dict(zip(names[leading:], args[leading:], strict=False)), **kwargs, **waiting}


def _around(parameters: Mapping[str, Any], waiting: Mapping[str, Any], args: Sequence[Any]) -> tuple[Any, ...]:
    first = [waiting[name] for name, p in parameters.items() if name in waiting and p.kind is not p.KEYWORD_ONLY]
    return (*first, *args)


def _keyword_only(parameters: Mapping[str, Any], waiting: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in waiting.items() if parameters[name].kind is parameters[name].KEYWORD_ONLY}
