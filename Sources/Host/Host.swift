import CLinux
import HTTP1
