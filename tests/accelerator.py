"""A stand-in for CUDA: tensors that say they live on cuda:0 and compute on the CPU, but refuse the CPU's tensors.

Of CUDA's arithmetic it has one habit: to divide by a number is to multiply by its reciprocal, which can differ in the
last bit. What it cannot tell: which operations CUDA lacks, other orders of sums, speed, and autocast.
"""

import contextlib
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

DEVICE = torch.device("cuda:0")
CARRIER = torch.device("lazy")
"""What C++ takes the tensors for: of all devices a CPU build knows this one and "meta", on which networks are laid out
before they are loaded."""

aten = torch.ops.aten
TRANSFERS = {aten.copy_, aten._to_copy, aten.to, aten.type_as}
DIVISIONS = {aten.div, aten.div_}
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index}
TAKES_SCALARS = {aten.masked_fill, aten.masked_fill_, aten.fill, aten.fill_}
"""Operations besides the pointwise ones to which CUDA admits a CPU tensor without dimensions."""


class Resident(torch.Tensor):
    """A tensor of the stand-in, around a CPU tensor that nothing else may see."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        # Views of tensors from outside of an inference mode must be ordinary ones inside of it too.
        with torch.inference_mode(False):
            made = torch.Tensor._make_wrapper_subclass(
                cls,
                inner.shape,
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=CARRIER,
            )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return Accelerator().compute(func, args, kwargs or {})

    device = property(lambda self: DEVICE)
    is_cuda = property(lambda self: True)

    def data_ptr(self):
        return self.inner.data_ptr()

    def numpy(self, **_):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")

    def tolist(self):
        return self.cpu().tolist()

    def __repr__(self):
        return f"Resident({self.inner!r})"


class Accelerator(TorchDispatchMode):
    """Gives what is made on, or sent to, the device to the stand-in, and counts what comes back.

    downloads: shapes of tensors copied to the CPU. reads: numbers that Python asked for.
    """

    def __init__(self):
        super().__init__()
        self.downloads, self.reads = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.compute(func, args, kwargs or {})

    def compute(self, func, args, kwargs):
        """Run an operation on the values, and put its results where CUDA would put them."""
        flat, form = tree_flatten((args, kwargs))
        residents = [item for item in flat if isinstance(item, Resident)]
        target = next((item for item in flat if isinstance(item, torch.device)), None)
        there = bool(residents) if target is None else is_ours(target)
        if not (residents or there):
            return func(*args, **kwargs)
        if func is aten._has_compatible_shallow_copy_type.default:
            # nn.Module asks whether its parameter can be moved in place; between devices it cannot.
            return len(residents) == len(flat)
        refuse_mixture(func, args, kwargs)
        run = divided if divides_by_number(func, args, kwargs) else func
        values = [inside(item) for item in flat]
        args, kwargs = tree_unflatten(values, form)
        result = run(*args, **kwargs)
        if func.overloadpacket is aten.copy_ and not isinstance(flat[0], Resident):
            return self._downloaded(result)
        if run is divided and func.overloadpacket is aten.div_:
            result = args[0].copy_(result)
        owners = {id(item.inner): item for item in residents}
        given = {id(item) for item in values if isinstance(item, torch.Tensor)}

        def placed(item):
            if not isinstance(item, torch.Tensor):
                self.reads += isinstance(item, (bool, int, float)) and bool(residents)
                return item
            if there and id(item) in owners:
                return unchanged(owners[id(item)])
            # Nothing on the CPU may share the memory of something on the device.
            item = item.clone() if id(item) in given else item
            return Resident(item) if there else self._downloaded(item)

        return tree_map(placed, result)

    def _downloaded(self, item):
        self.downloads.append(tuple(item.shape))
        return item


class Names(TorchFunctionMode):
    """Completes "cuda" to "cuda:0", for which C++ asks the driver, and sends what torch.tensor makes."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        args = [self.complete(item) for item in args]
        kwargs = {key: self.complete(item) for key, item in (kwargs or {}).items()}
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") == DEVICE:
            return func(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        return func(*args, **kwargs)

    def complete(self, item):
        named = isinstance(item, (str, torch.device)) and str(item).partition(":")[0] == DEVICE.type
        return DEVICE if named else item


def is_ours(device):
    return device.type in (DEVICE.type, CARRIER.type)


def inside(item):
    if isinstance(item, Resident):
        return item.inner
    return torch.device("cpu") if isinstance(item, torch.device) and is_ours(item) else item


def divides_by_number(func, args, kwargs):
    # With a rounding mode it is another kernel.
    return func.overloadpacket in DIVISIONS and not kwargs and not isinstance(args[1], Resident)


def divided(image, number):
    """Divide as CUDA's kernel does where the divisor comes from the CPU (ATen/native/cuda/BinaryDivTrueKernel.cu)."""
    kind = torch.true_divide(image.flatten()[:1], number).dtype
    return image.to(kind) * torch.ones((), dtype=kind).div(number)


def unchanged(owner):
    """Return a tensor that an operation wrote to; the stand-in cannot give it another shape."""
    if owner.shape != owner.inner.shape or owner.stride() != owner.inner.stride():
        raise NotImplementedError(f"{tuple(owner.shape)} became {tuple(owner.inner.shape)} in place")
    return owner


def refuse_mixture(func, args, kwargs):
    """Raise what CUDA raises where tensors of both devices meet."""
    if func.overloadpacket in TRANSFERS:
        return
    arguments = func._schema.arguments
    written = {argument.name for argument in arguments if argument.alias_info and argument.alias_info.is_write}
    named = dict(zip((argument.name for argument in arguments), args, strict=False)) | kwargs
    lenient = torch.Tag.pointwise in func.tags or func.overloadpacket in TAKES_SCALARS | INDEXED
    foreign = [
        (name, item)
        for name, value in named.items()
        for item in tree_flatten(value)[0]
        if isinstance(item, torch.Tensor) and not isinstance(item, Resident)
        if item.ndim or name in written or not lenient
        if not (name == "indices" and func.overloadpacket in INDEXED and isinstance(args[0], Resident))
    ]
    if foreign and any(isinstance(item, Resident) for item in tree_flatten((args, kwargs))[0]):
        raise RuntimeError(
            f"{func}: Expected all tensors to be on the same device, but found at least two devices, cuda:0 and "
            f"{foreign[0][1].device} ({foreign[0][0]})!"
        )


@contextlib.contextmanager
def standing_in():
    """Make "cuda" the stand-in inside this context; yields the Accelerator."""
    replaced = {
        "synchronize": lambda device=None: None,
        "reset_peak_memory_stats": lambda device=None: None,
        "max_memory_allocated": lambda device=None: 10**6,
        "memory_reserved": lambda device=None: 3 * 10**8,
        "memory_allocated": lambda device=None: 10**8,
        "mem_get_info": lambda device=None: (10**9, 2 * 10**9),
    }
    if not torch.cuda.is_available():
        # Parsing device="cuda" would start the driver before anyone is asked.
        replaced["_lazy_init"] = lambda: None
    with contextlib.ExitStack() as stack:
        for name, function in replaced.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, function))
        stack.callback(forget)
        stack.enter_context(Names())
        yield stack.enter_context(Accelerator())


def forget():
    """Empty the caches that hold constants by device: a real one bears the same name."""
    from rescale_bench.images import resize
    from rescale_bench.metrics import similarity

    resize._blocks.cache_clear()
    similarity._filter.cache_clear()
