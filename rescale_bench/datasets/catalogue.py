"""The research sets by name: what they are, whom to cite, where they come from."""

from __future__ import annotations

from rescale_bench.datasets.research import Home, Research

SELF_EX_SR = "https://github.com/jbhuang0604/SelfExSR"
RESEARCH_ONLY = "no licence stated; research use"

RESEARCH = (
    Research(
        name="Set5",
        folders=("Set5",),
        count=5,
        home=Home(page=SELF_EX_SR),
        summary="5 small photographs, the oldest test set of super-resolution",
        citation="Bevilacqua et al., Low-complexity single-image super-resolution, BMVC 2012",
        licence=RESEARCH_ONLY,
    ),
    Research(
        name="Set14",
        folders=("Set14",),
        count=14,
        home=Home(page=SELF_EX_SR),
        summary="14 pictures, one of them grey",
        citation="Zeyde et al., On single image scale-up using sparse-representations, Curves and Surfaces 2010",
        licence=RESEARCH_ONLY,
    ),
    Research(
        name="BSD100",
        folders=("BSD100", "BSDS100", "B100"),
        count=100,
        home=Home(page="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/"),
        summary="the 100 test photographs of BSDS300, 481×321",
        citation="Martin et al., A database of human segmented natural images, ICCV 2001",
        licence="non-commercial research and education (Berkeley)",
    ),
    Research(
        name="Urban100",
        folders=("Urban100",),
        count=100,
        home=Home(page=SELF_EX_SR),
        summary="100 photographs of buildings, about 1 megapixel",
        citation="Huang et al., Single image super-resolution from transformed self-exemplars, CVPR 2015",
        licence="photographs from Flickr under Creative Commons licences",
    ),
    Research(
        name="DIV2K-val",
        folders=("DIV2K/DIV2K_valid_HR", "DIV2K_valid_HR", "DIV2K-val", "DIV2K_val"),
        count=100,
        home=Home(
            page="https://data.vision.ee.ethz.ch/cvl/DIV2K/",
            archive="DIV2K_valid_HR.zip",
            archive_url="https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_valid_HR.zip",
        ),
        summary="the 100 validation photographs of DIV2K, about 2.8 megapixels",
        citation="Agustsson and Timofte, NTIRE 2017 challenge on single image super-resolution, CVPR Workshops 2017",
        licence="academic research only",
    ),
    Research(
        name="Kodak24",
        folders=("Kodak24", "Kodak", "Kodak-24"),
        count=24,
        home=Home(
            page="https://r0k.us/graphics/kodak/",
            files=tuple(
                (f"kodim{number:02}", f"https://r0k.us/graphics/kodak/kodak/kodim{number:02}.png")
                for number in range(1, 25)
            ),
        ),
        summary="24 photographs of Eastman Kodak's Photo CD sampler, 768×512",
        citation="Eastman Kodak Company, Kodak lossless true color image suite (R. Franzen), 1999",
        licence="released by Eastman Kodak for unrestricted use",
        shareable=True,
    ),
)
