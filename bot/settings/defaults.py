"""Plans, models and styles of an instance whose config.toml has none, written as the file would write them."""

from __future__ import annotations

from bot.settings.keys import Raw

PLANS: Raw = {
    "free": {
        "title": "Free",
        "weight": 1,
        "credits_day": 40,
        "per_minute": 4,
        "running": 1,
        "waiting": 2,
        "count_max": 2,
        "pixels_max": 1_048_576,
        "steps_max": 30,
    },
    "basic": {
        "title": "Basic",
        "price": {"usd": 499, "eur": 499, "xtr": 350},
        "weight": 4,
        "credits_month": 1500,
        "rollover_days": 30,
        "running": 2,
        "waiting": 6,
    },
    "pro": {
        "title": "Pro",
        "price": {"usd": 1199, "eur": 1199, "xtr": 850},
        "weight": 8,
        "credits_month": 5000,
        "rollover_days": 30,
        "relaxed_day": 3600,
        "running": 3,
        "waiting": 12,
    },
    "server": {
        "title": "Server",
        "price": {"usd": 1999, "eur": 1999, "xtr": 1400},
        "for_place": True,
        "weight": 6,
        "credits_month": 8000,
        "member_day": 150,
        "running": 2,
        "waiting": 6,
    },
}

PACKS: Raw = {
    "small": {"title": "500 credits", "credits": 500, "price": {"usd": 199, "eur": 199, "xtr": 150}},
    "large": {"title": "3,000 credits", "credits": 3000, "price": {"usd": 999, "eur": 999, "xtr": 700}},
}

MODELS: Raw = {
    "tiny": {
        "kind": "image",
        "source": "embedded:tiny-emoji",
        "title": "Tiny Emoji",
        "note_en": "A small starter model: it draws emoji-like pictures of some 350 things, one at a time.",
        "note_zh": "小巧的入门模型：能画约 350 种事物的表情符号风格图片，一次一个。",
        "licence": "MIT",
        "commercial": True,
        "width": 128,
        "height": 128,
        "multiple": 32,  # three levels of the U-Net under a VAE of 8
        "pixels_max": 65_536,
        "steps": 20,
        "guidance": 4.0,
        "scale": 3,
        "credits": 1,
        "seconds": 0.6,
    },
    "smol": {
        "kind": "text",
        "source": "embedded:smollm2",
        "title": "SmolLM2 135M",
        "note_en": "A small starter model: short English texts, and it makes things up.",
        "note_zh": "小巧的入门模型：适合简短的英文文本，内容可能不准确。",
        "licence": "Apache-2.0",
        "commercial": True,
        "max_tokens": 300,
        "credits": 1,
        "seconds": 8.0,
    },
}


def _style(title_en: str, title_zh: str, prompt: str, negative: str = "") -> Raw:
    return {"title_en": title_en, "title_zh": title_zh, "prompt": prompt, "negative": negative}


STYLES: Raw = {
    "photo": _style(
        "Photo",
        "摄影",
        "photo of {prompt}, natural light, sharp focus, 50mm lens, high detail",
        "painting, drawing, illustration, render, blurry",
    ),
    "cinematic": _style(
        "Cinematic",
        "电影感",
        "cinematic still of {prompt}, dramatic lighting, shallow depth of field, film grain",
        "cartoon, drawing, flat lighting",
    ),
    "anime": _style(
        "Anime",
        "动漫",
        "anime illustration of {prompt}, clean line art, vivid colours, detailed background",
        "photo, realistic, blurry, bad anatomy",
    ),
    "watercolor": _style(
        "Watercolour",
        "水彩",
        "watercolour painting of {prompt}, soft washes, visible paper texture",
        "photo, render, hard edges",
    ),
    "oil": _style(
        "Oil painting",
        "油画",
        "oil painting of {prompt}, rich brush strokes, canvas texture, classical light",
        "photo, render, flat colours",
    ),
    "ink": _style(
        "Ink wash",
        "水墨",
        "traditional Chinese ink wash painting of {prompt}, flowing brush strokes, empty space, rice paper",
        "photo, render, saturated colours",
    ),
    "lineart": _style(
        "Line art",
        "线稿",
        "black and white line art of {prompt}, clean outlines, white background",
        "colour, shading, photo, blurry",
    ),
    "comic": _style(
        "Comic",
        "漫画",
        "comic book panel of {prompt}, bold outlines, halftone shading, dynamic composition",
        "photo, realistic, blurry",
    ),
    "pixel": _style(
        "Pixel art",
        "像素画",
        "pixel art of {prompt}, 16-bit game sprite, limited palette, crisp pixels",
        "photo, blurry, smooth gradients",
    ),
    "3d": _style(
        "3D render",
        "三维渲染",
        "3d render of {prompt}, soft studio light, smooth materials, subtle shadows",
        "photo, drawing, flat",
    ),
    "flat": _style(
        "Flat",
        "扁平插画",
        "flat vector illustration of {prompt}, simple shapes, few colours, clean background",
        "photo, texture, gradients, clutter",
    ),
    "fantasy": _style(
        "Fantasy",
        "奇幻",
        "epic fantasy art of {prompt}, intricate details, glowing light, sweeping scenery",
        "photo, modern objects, blurry",
    ),
}

DOCUMENT: Raw = {"plans": PLANS, "packs": PACKS, "models": MODELS, "styles": STYLES}
