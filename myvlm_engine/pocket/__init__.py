"""The embedded VLM "pocket": an ImageNet EfficientNet-Lite2, a projector trained here, and SmolLM2-135M with a small LoRA."""
