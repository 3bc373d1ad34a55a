using System.Diagnostics;
using Flotilla.Contracts;
using Flotilla.Contracts.Protos;
using Flotilla.Wire.Rpc;
using Google.Protobuf;

namespace Flotilla.Wire.Bench;

/// <summary>Unary calls, as a client of the KV service makes them.</summary>
internal static class UnaryBench
{
    private const string Path = "/flotilla.v1.KV/Get";

    public static async Task RunAsync(TimeSpan time)
    {
        var answer = new GetResponse { Value = ByteString.CopyFrom(new byte[100]), Version = "1.0.42.3" };
        await using var listener = await RpcListener.StartAsync(new HostPort("127.0.0.1", 0), new RpcServices().Unary<GetRequest, GetResponse>(Path, GetRequest.Parser, (_, _) => new(answer)));
        using var channel = new RpcChannel(new HostPort("127.0.0.1", listener.Port));
        var request = new GetRequest { Key = ByteString.CopyFromUtf8("some-key-16-byte") };
        foreach (var clients in new[] { 1, 64 })
        {
            await LoopAsync(channel, request, clients, time / 4);
            var cpu = Environment.CpuUsage.TotalTime;
            var watch = Stopwatch.StartNew();
            var count = await LoopAsync(channel, request, clients, time);
            Console.WriteLine($"{"unary calls",-24} {clients,3} in flight: {count / watch.Elapsed.TotalSeconds,9:n0} calls/s, {(Environment.CpuUsage.TotalTime - cpu).TotalMicroseconds / count,6:f1} us CPU per call (both ends)");
        }
    }

    private static async Task<long> LoopAsync(RpcChannel channel, GetRequest request, int clients, TimeSpan time)
    {
        long count = 0;
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, clients).Select(async _ =>
        {
            while (watch.Elapsed < time)
            {
                await channel.UnaryAsync(Path, request, GetResponse.Parser, TimeSpan.FromSeconds(10));
                Interlocked.Increment(ref count);
            }
        }));
        return count;
    }
}
