using System.Diagnostics;
using System.Globalization;
using System.Text;
using Flotilla.Wire.Rpc;

namespace Flotilla.Compare;

/// <summary>Clients that each send the next request when the last one is answered: 16-byte keys out of 100,000, 100-byte values.</summary>
internal sealed class ClosedLoop(ITarget target, List<RpcChannel> channels, bool put, int clients)
{
    private const int Keys = 100_000;
    private static readonly byte[] Value = Encoding.ASCII.GetBytes(new string('v', 100));

    public async Task<Result> RunAsync(TimeSpan time)
    {
        var end = Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);
        var results = await Task.WhenAll(Enumerable.Range(0, clients).Select(client => Task.Run(() => ClientAsync(client, end))));
        var all = new Result();
        foreach (var result in results)
        {
            all.Latencies.AddRange(result.Latencies);
            all.Errors += result.Errors;
        }

        return all;
    }

    private async Task<Result> ClientAsync(int client, long end)
    {
        var result = new Result();
        var random = new Random(client);
        var channel = channels[client % channels.Count];
        while (Stopwatch.GetTimestamp() < end)
        {
            var key = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"key-{random.Next(Keys):D12}"));
            var began = Stopwatch.GetTimestamp();
            try
            {
                await (put ? target.PutAsync(channel, key, Value) : target.GetAsync(channel, key));
                result.Latencies.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
            }
            catch (RpcException)
            {
                result.Errors++;
            }
        }

        return result;
    }

    internal sealed class Result
    {
        public List<double> Latencies { get; } = [];

        public long Errors { get; set; }

        public double At(double quantile) => Latencies.Count == 0 ? 0 : Latencies[(int)(quantile * (Latencies.Count - 1))];
    }
}
