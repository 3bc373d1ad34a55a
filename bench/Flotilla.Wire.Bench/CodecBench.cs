using System.Buffers;
using System.Diagnostics;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;

namespace Flotilla.Wire.Bench;

/// <summary>Encoding and decoding one frame in memory.</summary>
internal static class CodecBench
{
    public static void Run(TimeSpan time)
    {
        var frame = DuplexEcho.Sample();
        var bytes = RpcFraming.ToArray(PeerCodec.ToProto(frame));
        var output = new ArrayBufferWriter<byte>(1024);
        var into = new PeerFrame();
        Measure($"encode {bytes.Length} B", time, () =>
        {
            output.ResetWrittenCount();
            RpcFraming.Write(output, PeerCodec.ToProto(frame));
        });
        var sequence = new ReadOnlySequence<byte>(bytes, RpcFraming.PrefixBytes, bytes.Length - RpcFraming.PrefixBytes);
        Measure($"decode {bytes.Length} B", time, () => PeerCodec.Decode(sequence, into));
    }

    private static void Measure(string name, TimeSpan time, Action action)
    {
        for (var i = 0; i < 100_000; i++)
        {
            action();
        }

        // In CPU time: what else runs on the machine does not count then.
        long count = 0;
        var allocated = GC.GetAllocatedBytesForCurrentThread();
        var cpu = Environment.CpuUsage.TotalTime;
        var watch = Stopwatch.StartNew();
        while (watch.Elapsed < time)
        {
            for (var i = 0; i < 1000; i++)
            {
                action();
            }

            count += 1000;
        }

        Console.WriteLine($"{name,-24} {(Environment.CpuUsage.TotalTime - cpu).TotalNanoseconds / count,9:n0} ns CPU, {(GC.GetAllocatedBytesForCurrentThread() - allocated) / count} B allocated");
    }
}
