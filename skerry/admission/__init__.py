"""From what a client sent to what is stored: decoding, defaults, patches, structure, metadata, and a service's own rules."""

from __future__ import annotations

from skerry.admission.actions import Actions
from skerry.admission.callers import Callers
from skerry.admission.searches import Searches
from skerry.admission.streams import Download, Upload
from skerry.admission.writes import Admitted, Rules, Writes

__all__ = ["Actions", "Admitted", "Callers", "Download", "Rules", "Searches", "Upload", "Writes"]
