"""What a job changes on its device, only when asked, and puts back however it ends.

knob.py       what a knob is; jetson.py, discrete.py and product.py have them, a small class each
knobs.py      which there are, which a job wants, whether it may
root.py       how a knob does what only root may: by `sudo -n`, never by a password
record.py     what has been turned and is to be put back, on the disk before it is turned
watchdog.py   the process that puts it back when the job's own was killed
holding.py    turning, putting back, and finding what an earlier job left
"""
