using System.Diagnostics;

namespace Flotilla.Wire.Bench;

/// <summary>One way to carry messages to an echo and back.</summary>
internal interface IEcho : IAsyncDisposable
{
    Task OpenAsync();

    /// <summary>Sends so many messages in one flush.</summary>
    ValueTask SendAsync(int count);

    /// <summary>Waits for echoes; answers how many came.</summary>
    ValueTask<int> ReceiveAsync();
}

/// <summary>Echoes 200-byte messages with a fixed number in flight.</summary>
internal static class EchoBench
{
    public const int MessageBytes = 200;

    public static async Task RunAsync(string name, IEcho echo, TimeSpan time)
    {
        await using (echo)
        {
            await echo.OpenAsync();
            foreach (var inFlight in new[] { 1, 64 })
            {
                await LoopAsync(echo, inFlight, time / 4);
                var cpu = Environment.CpuUsage.TotalTime;
                var allocated = GC.GetTotalAllocatedBytes();
                var (count, seconds, latencies) = await LoopAsync(echo, inFlight, time);
                var cpuUs = (Environment.CpuUsage.TotalTime - cpu).TotalMicroseconds / count;
                var bytes = (GC.GetTotalAllocatedBytes() - allocated - (latencies.Capacity * sizeof(double))) / count;
                latencies.Sort();
                var quantiles = inFlight == 1 ? $", p50 {At(latencies, 0.5):f0} us, p99 {At(latencies, 0.99):f0} us" : "";
                Console.WriteLine($"{name,-24} {inFlight,3} in flight: {count / seconds,9:n0} messages/s, {cpuUs,6:f2} us CPU and {bytes,5} B allocated per message (both ends){quantiles}");
            }
        }
    }

    private static double At(List<double> sorted, double quantile) => sorted.Count == 0 ? 0 : sorted[(int)(quantile * (sorted.Count - 1))];

    private static async Task<(long Count, double Seconds, List<double> Latencies)> LoopAsync(IEcho echo, int inFlight, TimeSpan time)
    {
        var latencies = new List<double>(inFlight == 1 ? 1 << 20 : 0);
        var watch = Stopwatch.StartNew();
        long count = 0;
        var outstanding = inFlight;
        var sent = Stopwatch.GetTimestamp();
        await echo.SendAsync(inFlight);
        while (outstanding > 0)
        {
            var back = await echo.ReceiveAsync();
            count += back;
            outstanding -= back;
            if (watch.Elapsed < time)
            {
                if (inFlight == 1 && back == 1)
                {
                    latencies.Add(Stopwatch.GetElapsedTime(sent).TotalMicroseconds);
                    sent = Stopwatch.GetTimestamp();
                }

                await echo.SendAsync(back);
                outstanding += back;
            }
        }

        return (count, watch.Elapsed.TotalSeconds, latencies);
    }
}
