"""The web page as a full chat platform: `WebPlatform` in `client` serves it; nothing here knows SQL or models."""
