"""The life of a job: pure decisions (pricing, admission, allowances, forecast) and the use cases around them."""
