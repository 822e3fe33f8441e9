"""From a configuration to a run: open what it names, move the frames, report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from engines.backends import create_engine
from engines.engine import joined_flicker
from pipeline.cli.building import BuildWatch, refuse_unbuilt
from pipeline.cli.inputs import Job
from pipeline.config import Config
from pipeline.runner import Pipeline
from pipeline.sinks import open_sink
from pipeline.sinks.containers import format_of, holdable
from pipeline.sinks.file import FileSink
from pipeline.sinks.hardware import choose_encoder
from pipeline.sinks.photo import PhotoSink
from pipeline.sinks.tee import TeeSink
from pipeline.sources import open_source
from pipeline.sources.file import FileSource
from pipeline.sources.folder import output_path
from pipeline.sources.hardware import who_decodes
from pipeline.sources.photo import PhotoSource
from pipeline.stages.clean import clean
from pipeline.stages.compare import ComparedSink, compare, compared_info

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from engines.engine import Engine, Flicker, Smoothing
    from pipeline.cli.building import Build
    from pipeline.cli.progress import Display
    from pipeline.media import SourceInfo
    from pipeline.report import RunReport
    from pipeline.runner import NamedStages, Progress, Sink, Source, Stage
    from pipeline.sources.hardware import Decode


class Cleaner:
    """Cleans one input after the other under one configuration, with one engine.

    Args:
        config: What to do.
        overwrite: Replace outputs that exist.
        display: Told how far each run is.
    """

    engine: Engine | None
    """Opened with the first input that can be read."""

    def __init__(self, config: Config, *, overwrite: bool, display: Display) -> None:
        self.config = config
        self.engine = None
        self._overwrite = overwrite
        self._display = display
        self._watch = BuildWatch(display.build)
        # Cores are busy with decoder, network and encoder: OpenCV's own threads would spin while
        # they wait for one, 8 ms of CPU a frame of 1080p.
        cv2.setNumThreads(1)

    def close(self) -> None:
        """Release the engine."""
        if self.engine is not None:
            self.engine.close()
            self.engine = None

    def clean(self, job: Job, stop: threading.Event) -> RunReport:
        """Run one job; when `stop` is set it ends early with a valid output.

        Raises:
            DemoireError: The input cannot be read, the output not be written, the engine failed.
        """
        targets = self._targets(job)
        source, engine = self._open_input(job)
        try:
            sinks = self._open_sinks(job, targets, source.info)
        except BaseException:
            source.close()
            raise
        self._display.start(source.info, targets[0])
        flickers: list[Flicker] = []
        stages = self._stages(engine, source.info, self._smoothing(job, engine), flickers)
        report = run(source, stages, sinks, stop, on_frame=self._display.update)
        return replace(report, engine=engine.info, flicker=joined_flicker(flickers))

    def build(self, job: Job) -> list[Build]:
        """Have built what the engine builds for a job, and return what that was.

        Raises:
            DemoireError: The input cannot be read, or the engine not be built.
            ConfigError: The engine builds nothing.
        """
        source = self._open_source(job)
        source.close()
        earlier = len(self._watch.built)
        engine = self._open_engine()
        refuse_unbuilt(engine.info.backend)
        engine.open(source.info.picture_format, smoothing=self._smoothing(job, engine)).close()
        return self._watch.built[earlier:]

    def describe(self, job: Job) -> list[tuple[str, str]]:
        """Return what `clean` would do, in words, having opened everything but the output.

        Raises:
            DemoireError: It would fail.
        """
        targets = self._targets(job)
        source, engine = self._open_input(job)
        try:
            info = source.info
            rows = [("input", describe_input(info))]
            if isinstance(source, FileSource):
                rows.append(("decoder", source.decoder))
            rows.append(("engine", f"{engine.info.backend}: {engine.info}"))
            if not job.is_photo:
                smoothing = self._smoothing(job, engine)
                rows.append(("smoothing", f"{smoothing.luma_s:g} s" if smoothing else "off"))
            for target in targets:
                rows.append(("output", str(target)))
                if not job.is_photo:
                    rows.append(("encoder", self._describe_encoder(target, info)))
            maps = self.config.maps
            if maps.folder is not None:
                often = "one sheet" if job.is_photo else f"a sheet every {maps.every:g} s"
                rows.append(("maps", f"{maps.folder / job.maps_name}*.maps.png, {often}"))
            return rows
        finally:
            source.close()

    def _targets(self, job: Job) -> list[Path]:
        """Return the files to write, the clean one first, checked against what exists.

        Sheets are checked, too, but have no names yet.
        """
        self._check_maps(job)
        compare = self.config.compare
        names = [job.target]
        if compare.layout is not None and not compare.only:
            names.append(job.compare_target)
        codec = self.config.encoder.codec
        return [
            output_path(job.source, name, codec=codec, overwrite=self._overwrite) for name in names
        ]

    def _check_maps(self, job: Job) -> None:
        maps, source = self.config.maps, self.config.source
        if maps.folder is None or self._overwrite:
            return
        from pipeline.sinks.maps import refuse_existing

        start_s, end_s, name = source.start or 0.0, source.end, job.maps_name
        refuse_existing(maps.folder, name, is_photo=job.is_photo, start_s=start_s, end_s=end_s)

    def _open_input(self, job: Job) -> tuple[Source, Engine]:
        """Open an input, and the engine with the first one that can be read.

        That one is then opened again, if the engine is to take its pictures from a GPU.
        """
        is_first = self.engine is None
        source = self._open_source(job)
        try:
            engine = self._open_engine()
        except BaseException:
            source.close()
            raise
        if is_first and not job.is_photo and self._decoding()[0] != "cpu":
            source.close()
            source = self._open_source(job)
        return source, engine

    def _decoding(self) -> tuple[Decode, int]:
        """Return who decodes, and which GPU that would be."""
        if self.engine is None:
            return "cpu", 0
        return who_decodes(self.config.source.decode, self.engine, on_host=self._keeps_before)

    def _open_source(self, job: Job) -> Source:
        if job.is_photo:
            return open_source(job.source)
        source = self.config.source
        decode, device = self._decoding()
        return open_source(
            job.source,
            start_s=source.start,
            end_s=source.end,
            strict=source.strict,
            deinterlace=source.deinterlace,
            decode=decode,
            cuda_device=device,
        )

    def _open_engine(self) -> Engine:
        if self.engine is None:
            engine = self.config.engine
            self.engine = create_engine(
                engine.name,
                model=engine.model,
                options=engine.options,
                device=engine.device,
                on_build=self._watch,
            )
        return self.engine

    def _smoothing(self, job: Job, engine: Engine) -> Smoothing | None:
        if job.is_photo:
            return None
        cleaned = engine.info.backend != "identity" and self.config.clean.strength > 0
        return self.config.smooth.chosen(cleaned=cleaned)

    def _stages(
        self,
        engine: Engine,
        info: SourceInfo,
        smoothing: Smoothing | None,
        flickers: list[Flicker],
    ) -> NamedStages:
        layout = self.config.compare.layout
        cleaning = clean(
            engine,
            strength=self.config.clean.strength,
            smoothing=smoothing,
            keep_before=self._keeps_before,
            flickers=flickers,
        )
        stages: list[tuple[str, Stage]] = [("clean", cleaning)]
        if layout is not None and self._composes_early:
            stages.append(("compare", compare(layout, rotation=info.rotation)))
        return stages

    @property
    def _keeps_before(self) -> bool:
        """The pictures before cleaning are shown, too."""
        return self.config.compare.layout is not None or self.config.maps.folder is not None

    @property
    def _composes_early(self) -> bool:
        """Before and after are put together by a stage, because no sink needs them apart."""
        return self.config.compare.only and self.config.maps.folder is None

    def _open_sinks(self, job: Job, targets: Sequence[Path], info: SourceInfo) -> list[Sink]:
        sinks: list[Sink] = []
        try:
            for sink in self._each_sink(job, targets, info):
                sinks.append(sink)  # noqa: PERF402 (those before one that fails are aborted)
        except BaseException:
            for sink in sinks:
                sink.abort()
            raise
        return sinks

    def _each_sink(self, job: Job, targets: Sequence[Path], info: SourceInfo) -> Iterator[Sink]:
        """Open one sink after the other, that of the first target first."""
        options = self._sink_options(photo=job.is_photo)
        layout, only = self.config.compare.layout, self.config.compare.only
        if not only:
            yield open_sink(targets[0], info, **options)
        if layout is not None:
            sink = open_sink(targets[-1], compared_info(info, layout), **options)
            composed = ComparedSink(sink, layout, rotation=info.rotation)
            yield sink if self._composes_early else composed
        if self.config.maps.folder is not None:
            yield self._open_maps(job, self.config.maps.folder, info)

    def _open_maps(self, job: Job, folder: Path, info: SourceInfo) -> Sink:
        from engines.evaluate.metrics import moire_energy, moire_map
        from pipeline.sinks.maps_sheet import Measures

        return open_sink(
            folder,
            info,
            kind="maps",
            name=job.maps_name,
            measures=Measures(local=moire_map, whole=moire_energy),
            every_s=None if job.is_photo else self.config.maps.every,
            start_s=self.config.source.start or 0.0,
            overwrite=self._overwrite,
        )

    def _sink_options(self, *, photo: bool) -> dict[str, Any]:
        if photo:
            return {"overwrite": self._overwrite, "quality": self.config.photo.quality}
        encoder = self.config.encoder
        return {
            "codec": encoder.codec,
            "crf": encoder.crf,
            "encoder_preset": encoder.preset,
            "hardware": encoder.hardware,
            "drop_streams": encoder.drop_streams,
            "overwrite": self._overwrite,
        }

    def _describe_encoder(self, target: Path, info: SourceInfo) -> str:
        encoder = self.config.encoder
        choice = choose_encoder(
            encoder.codec,
            info,
            hardware=encoder.hardware,
            crf=encoder.crf,
            preset=encoder.preset,
        )
        kept = holdable(info, format_of(target), drop=encoder.drop_streams)
        words = [choice.codec.encoder, choice.encoding.pixel_format]
        words += [f"{key}={value}" for key, value in choice.options.items()]
        return f"{' '.join(words)}; {len(kept)} other stream(s) copied"


def run(
    source: Source,
    stages: NamedStages,
    sinks: Sequence[Sink],
    stop: threading.Event,
    *,
    on_frame: Callable[[Progress], None] | None = None,
) -> RunReport:
    """Run a pipeline into one or several sinks and add to its report what only they know."""
    sink = sinks[0] if len(sinks) == 1 else TeeSink(sinks)
    report = Pipeline(source=source, stages=stages, sink=sink).run(stop, on_frame=on_frame)
    report = replace(report, input=source.info.url, colour_in=source.info.colour)
    if isinstance(source, FileSource | PhotoSource):
        report = replace(report, decode_errors=source.decode_errors)
    if isinstance(source, FileSource):
        report = replace(report, decoder=source.decoder)
    written = sinks[0].sink if isinstance(sinks[0], ComparedSink) else sinks[0]
    if isinstance(written, FileSink | PhotoSink):
        report = replace(report, output=str(written.path))
    if isinstance(written, FileSink):
        found = written.verify()
        report = replace(
            report,
            max_pts_change_ms=1000 * found.pts_change_s,
            av_drift_ms=1000 * found.av_drift_s,
            colour_out=written.encoding.colour,
            encoder=written.encoder,
        )
    return report


def describe_input(info: SourceInfo) -> str:
    """Return what an input is, in words."""
    words = [f"{info.codec} {info.width}x{info.height} {info.pixel_format}"]
    if info.frame_rate is not None:
        words.append(f"{float(info.frame_rate):.5g} fps")
    if info.duration_s is not None:
        words.append(f"{info.duration_s:.3f} s")
    if info.frame_count is not None:
        words.append(f"about {info.frame_count} frames")
    if info.rotation:
        words.append(f"turned by {info.rotation} degrees")
    if info.interlaced:
        words.append("interlaced")
    words += [stream.type for stream in info.streams]
    return ", ".join(words)
