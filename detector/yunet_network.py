"""YuNet's network in OpenVINO: one inference thread, and a compiled network for each size of input."""

import logging
from typing import Any, Final

import numpy as np

from crowdmood.core.errors import ModelError, SettingsError
from crowdmood.core.settings import DetectorSettings
from detector.base import Image
from detector.yunet_decoding import OUTPUTS, Outputs
from detector.yunet_file import missing

log = logging.getLogger("crowdmood.detector")

_MULTIPLE: Final = 32
"""Sides of the input are multiples of the largest stride, in pixels."""

WARM_PX: Final = 20_000_000
"""Total input of the networks that keep their memory, in pixels: 33 bytes each with f32, 16 with bf16.

Beyond that, the least recently used networks release their memory, and their next run takes a fourth longer. Compiling
a network takes as long as several frames.
"""

_KEPT: Final = 32
"""Compiled networks that are kept without their memory, 7 MB each. For inputs below a megapixel, the C library keeps up
to 30 MB more."""


class YuNetNetwork:
    """The network, for images of any size.

    Measured on one core for 1280x736: with bf16, fixed sizes take 0.7 of the time of dynamic ones, and four images in
    one call take 2.5 times as long as four calls. So images are run one by one.

    Args:
        settings: The model file, the precision and the number of threads.

    Attributes:
        precision: Precision of the network: `f32` or `bf16`.

    Raises:
        ModelError: The model file is missing or is not YuNet.
        SettingsError: The processor does not support the configured precision.
    """

    precision: str

    def __init__(self, settings: DetectorSettings) -> None:
        if settings.yunet_model is None or not settings.yunet_model.is_file():
            raise ModelError(missing(settings.yunet_model))
        import openvino

        self._openvino = openvino
        self._core = self._openvino.Core()
        self._file = settings.yunet_model
        self._threads = settings.threads
        self.precision = self._choose(settings.precision)
        # Inference requests by height and width, least recently used first.
        self._warm: dict[tuple[int, int], Any] = {}
        self._cold: dict[tuple[int, int], Any] = {}
        self._pixels = np.empty(0, np.uint8)
        self._for_size(_MULTIPLE, _MULTIPLE)

    def run(self, bgr: Image) -> Outputs:
        """Run the network once.

        Args:
            bgr: uint8 (height, width, 3), BGR, 0-255; padded with black at the right and the bottom.

        Returns:
            The outputs, valid until the next call.
        """
        height, width = bgr.shape[:2]
        padded = tuple(-(-side // _MULTIPLE) * _MULTIPLE for side in (height, width))
        request = self._for_size(*padded)
        pixels = self._input(*padded)
        pixels[0, :height, :width] = bgr
        pixels[0, height:] = 0
        pixels[0, :, width:] = 0
        request.set_input_tensor(self._openvino.Tensor(pixels, shared_memory=True))
        request.infer()
        arrays = {name: request.get_tensor(name).data for name in OUTPUTS}
        return Outputs(arrays, padded[1])

    def _input(self, height: int, width: int) -> Image:
        """Return the memory for an input, uint8 (1, height, width, 3), BGR; all sizes share it."""
        size = height * width * 3
        if self._pixels.size < size:
            self._pixels = np.empty(size, np.uint8)
        return self._pixels[:size].reshape(1, height, width, 3)

    def _choose(self, asked: str) -> str:
        if asked == "f32":
            return "f32"
        if self._runs_bf16():
            return "bf16"
        if asked == "bf16":
            raise SettingsError("this processor has no bfloat16: set CROWDMOOD_DETECTOR__PRECISION to auto or f32")
        return "f32"

    def _runs_bf16(self) -> bool:
        if "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            return False
        # Some processors and virtual machines list it and lack what the network needs.
        self.precision = "bf16"
        try:
            self._compile(_MULTIPLE, _MULTIPLE)
        except RuntimeError:
            log.warning("this processor lists bfloat16 and cannot run YuNet in it")
            return False
        return True

    def _for_size(self, height: int, width: int) -> Any:
        size = height, width
        request = self._warm.pop(size, None) or self._cold.pop(size, None) or self._compile(height, width)
        self._warm[size] = request
        while len(self._warm) > 1 and sum(h * w for h, w in self._warm) > WARM_PX:
            oldest = next(iter(self._warm))
            self._cold[oldest] = self._warm.pop(oldest)
            self._cold[oldest].get_compiled_model().release_memory()
        while len(self._cold) > _KEPT:
            del self._cold[next(iter(self._cold))]
        return request

    def _compile(self, height: int, width: int) -> Any:
        ov = self._openvino
        try:
            model = self._core.read_model(self._file)
            model.reshape({model.input(0): [1, 3, height, width]})
            for name in OUTPUTS:
                model.output(name)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(
                f"{self._file} is not YuNet as OpenCV's model zoo has it ({reason}): fetch it with "
                "`crowdmood models pull yunet`"
            ) from None
        # Let the compiled network convert the decoded bytes.
        steps = ov.preprocess.PrePostProcessor(model)
        steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        steps.input().model().set_layout(ov.Layout("NCHW"))
        return self._core.compile_model(
            steps.build(),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": self.precision,
                "INFERENCE_NUM_THREADS": self._threads,
                "NUM_STREAMS": 1,
                # Pinned threads of two workers would share a core.
                "ENABLE_CPU_PINNING": False,
            },
        ).create_infer_request()
