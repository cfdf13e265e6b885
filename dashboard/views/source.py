"""Where a photo comes from: a file, dropped or chosen, or one of the bundled samples."""

from __future__ import annotations

import base64

import panel as pn
import panel_material_ui as pmui

from dashboard.components.picture_strip import PictureStrip
from dashboard.controller import Controller
from dashboard.notices import notice_of, one_of_several
from dashboard.samples import SAMPLES, find_sample
from processing import ImageError


class PhotoInput(pmui.FileInput):
    """A FileInput that takes its messages in order, tells of failures, and has its limit on the server too.

    Parameters
    ----------
    on_error : callable
        Called with the sentence when an upload fails.
    """

    # Panel looks for the JavaScript beside the module of the class; this class adds none of its own.
    _esm_base = "FileInput.jsx"

    def __init__(self, on_error, **params):
        super().__init__(**params)
        self._on_error = on_error
        self._is_refused = False
        #: Whether the last upload had more files than the one that was taken, as only a drop can have.
        self.has_left_out = False

    # With a thread pool Panel runs each message of the browser in a thread of its own, so the message that ends an
    # upload can overtake the last piece of the file, which is then lost. These messages are short work: they stay on
    # the event loop.

    def _comm_event(self, doc, event):
        self._process_bokeh_event(doc, event)

    async def _event_coroutine(self, doc, event):
        for callback in list(pn.state._change_callbacks.get(doc, {}).values()):
            await callback()
        self._process_bokeh_event(doc, event)

    def _handle_msg(self, msg):
        try:
            status = msg["status"]
            if status == "initializing":
                self._is_refused = self.has_left_out = False
            elif status == "upload_event":
                self._take_piece(msg)
            elif status == "error":  # what the browser found, such as a file over the limit
                self._refuse(f"The upload failed: {msg['error']}. Choose another photo, or try again.")
            elif status == "finished" and not self._is_refused:
                if not self._buffer:
                    self._refuse("The photo is empty (0 bytes), or its upload was cut off. Choose another, or retry.")
                    return
                super()._handle_msg(msg)
        except (KeyError, TypeError, ValueError):
            self._refuse("The upload was cut off. Choose the photo again.")

    def _take_piece(self, msg):
        if self._buffer:  # the first file is whole: this is another one, and only one is taken
            self.has_left_out = True
            return
        held = sum(len(piece) for file in self._file_buffer.values() for piece in file["chunks"].values())
        if held + len(msg["data"]) > self.max_file_size:
            self._refuse(f"The photo has more than {self.max_file_size // 1_000_000} MB. Save it smaller and retry.")
        elif not self._is_refused:
            self._process_chunk(msg)

    def _refuse(self, sentence):
        self._is_refused = True
        self._file_buffer.clear()
        self._buffer.clear()
        self._on_error(sentence)
        self._send_msg({"status": "finished"})  # ends the spinner


class SourceView(pn.viewable.Viewer):
    """The drop zone and the samples."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        self._chosen_of_several = ""
        self.file_input = PhotoInput(
            self._show_error,
            label="Drop a photo here, or click to choose one",
            uploaded_label="Drop another photo, or click to choose one",
            max_file_size=controller.runtime.limits.max_bytes,
            variant="outlined",
            sizing_mode="stretch_width",
            height=112,
            margin=0,
            sx={
                "height": "112px",
                "borderStyle": "dashed",
                "borderWidth": "2px",
                "borderRadius": "12px",
                "textTransform": "none",
                "&:focus-within": {"outline": "3px solid currentColor", "outlineOffset": "2px"},
            },
        )
        self.file_input.param.watch(self._take_upload, "value")
        controller.param.watch(self._tell_of_several, ["before", "notice"])
        self.samples = PictureStrip(
            on_pick=self._take_sample,
            caption="Sample photos",
            items=[
                {"key": sample.name, "title": sample.title, "picture": _data_url(sample.thumbnail())}
                for sample in SAMPLES
            ],
            margin=0,
        )
        self._layout = pmui.FlexBox(
            pn.Column(self.file_input, margin=0, styles={"flex": "3 1 340px", "min-width": "0"}),
            pn.Column(
                pmui.Typography("No photo at hand? Try one of these:", variant="body2", margin=(0, 0, 8, 0)),
                self.samples,
                margin=0,
                styles={"flex": "1 1 250px", "min-width": "0"},
            ),
            gap="16px 24px",
            align_items="center",
            margin=0,
        )

    def _take_upload(self, event):
        if event.new is None:
            return
        data, name = event.new, self.file_input.filename or "photo"
        self.file_input.clear()  # the controller has the bytes now; the widget need not keep a second copy
        self._chosen_of_several = ""
        self._controller.load(data, name)
        if self.file_input.has_left_out:
            self._chosen_of_several = self._controller.photo_name
            self._tell_of_several()

    def _tell_of_several(self, *_events):
        """Say that one of several photos was taken, once it has been read: reading ends with a notice of its own."""
        name, controller = self._chosen_of_several, self._controller
        if name and controller.activity != "read":
            self._chosen_of_several = ""
            if name == controller.photo_name:
                controller.notice = one_of_several(name, controller.notice)

    def _take_sample(self, name):
        self._chosen_of_several = ""
        sample = find_sample(name)
        self._controller.load(sample.read(), sample.file_name)

    def _show_error(self, sentence):
        self._controller.notice = notice_of(ImageError(sentence))

    def __panel__(self):
        return self._layout


def _data_url(webp: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")
