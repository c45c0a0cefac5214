#!/usr/bin/env python3
"""Prints what EC2's DescribeInstanceTypes says of every size, from the copy that moto serves.

A line a size: name, architecture, vCPUs, GiB, baseline network in 10^6 bit/s, baseline EBS throughput in
10^6 B/s, and whether it bursts. Needs moto from PyPI; the committed tables are those of 5.2.5.
"""

import gzip
import json
import pathlib

import moto

folder = pathlib.Path(moto.__file__).parent / "ec2" / "resources"
packed, plain = folder / "instance_types.json.gz", folder / "instance_types.json"
text = gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
for name, told in sorted(json.loads(text).items()):
    card = told["NetworkInfo"].get("NetworkCards", [{}])[0]
    network = card.get("BaselineBandwidthInGbps")
    disk = told.get("EbsInfo", {}).get("EbsOptimizedInfo", {}).get("BaselineThroughputInMBps")
    arm = "arm64" in told["ProcessorInfo"]["SupportedArchitectures"]
    bursts = told.get("BurstablePerformanceSupported") or "-flex." in name
    print(
        name,
        "arm64" if arm else "x86_64",
        told["VCpuInfo"]["DefaultVCpus"],
        told["MemoryInfo"]["SizeInMiB"] / 1024,
        "" if network is None else round(network * 1000, 3),
        "" if disk is None else disk,
        "bursts" if bursts else "",
        sep=",",
    )
