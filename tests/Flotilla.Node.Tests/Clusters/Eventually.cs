using System.Runtime.CompilerServices;

namespace Flotilla.Node.Tests.Clusters;

/// <summary>Waits on conditions with a deadline, which is generous: it is there for what never comes true, and a machine may be busy.</summary>
internal static class Eventually
{
    public static async Task IsTrueAsync(Func<bool> condition, string what, int seconds = 90, [CallerArgumentExpression(nameof(condition))] string expression = "")
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(5));
        var deadline = DateTime.UtcNow.AddSeconds(seconds);
        while (!condition())
        {
            Assert.True(DateTime.UtcNow < deadline, $"not within {seconds} s: {what} ({expression})");
            await timer.WaitForNextTickAsync(TestContext.Current.CancellationToken);
        }
    }

    public static async Task IsTrueAsync(Func<Task<bool>> condition, string what, int seconds = 90)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(5));
        var deadline = DateTime.UtcNow.AddSeconds(seconds);
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < deadline, $"not within {seconds} s: {what}");
            await timer.WaitForNextTickAsync(TestContext.Current.CancellationToken);
        }
    }
}
